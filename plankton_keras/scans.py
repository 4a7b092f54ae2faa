"""STUB to be replaced by helper."""
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from plankton_keras.tiles import Window
@dataclass(frozen=True)
class ScanPair:
    stem: str
    scan: Path
    mask: Path
    split: str
class _P5:
    def __init__(self,path):
        self.path=path
        with open(path,'rb') as f:
            f.readline(); self.width,self.height=map(int,f.readline().split()); m=int(f.readline()); off=f.tell()
        self.a=np.memmap(path,np.uint8 if m<256 else '>u2','r',off,(self.height,self.width)); self.dpi=None; self.stem=Path(path).name.replace('_scan.png.ppm','')
    def read(self,w): return np.array(self.a[w.slices]).astype(self.a.dtype.newbyteorder('='))
    def ids(self): return {int(i):1 for i in np.unique(self.a)}
    def __enter__(self): return self
    def __exit__(self,*a): pass
def open_scan(p,g=None): return _P5(p)
open_mask=open_scan; open_image=open_scan
def open_pair(p,g=None): return _P5(p.scan),_P5(p.mask)
def check_ids(*a): pass
def read_padded(im,w): return im.read(w)
def find_pairs(folder,masks=None):
    return [ScanPair(p.name.replace('_scan.png.ppm',''),p,Path(str(p).replace('_scan','_mask')),s) for s in('train','val','test') for p in sorted((Path(folder)/s).glob('*_scan*'))]
def find_scans(ps): return [q for p in ps for q in (sorted(Path(p).glob('*_scan*')) if Path(p).is_dir() else [Path(p)])]
