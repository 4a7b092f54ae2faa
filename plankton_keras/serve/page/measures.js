// The measures of an object in groups, with their units.

const px = (names) => names.map((name) => [name, "px"]);
const plain = (names) => names.map((name) => [name, ""]);
const gray = (names) => names.map((name) => [name, "gray levels"]);

const GROUPS = [
  ["Size", [
    ["esd_mm", "mm", "ESD"], ["area_mm2", "mm²", "area"], ["major_mm", "mm", "major axis"], ["minor_mm", "mm", "minor axis"], ["feret_mm", "mm", "Feret diameter"],
    ["biovolume_plain_mm3", "mm³", "biovolume, sphere"], ["biovolume_riddled_mm3", "mm³", "biovolume, sphere without holes"], ["biovolume_ellipsoid_mm3", "mm³", "biovolume, ellipsoid"],
    ["area", "px"], ["area_px", "px"], ["area_exc", "px"], ["%area", "%"], ...px(["esd", "esd_px", "major", "minor", "feret", "perim.", "convperim", "convarea", "skelarea"]),
  ]],
  ["Shape", plain(["circ.", "circex", "elongation", "fractal", "symetrieh", "symetriev", "symetriehc", "symetrievc", "thickr",
    "perimareaexc", "feretareaexc", "perimferet", "perimmajor", "centroids", "cdexc"])],
  ["Gray levels", [...gray(["mean", "median", "mode", "min", "max", "range", "stddev"]), ["intden", ""], ["cv", "%"], ["sr", "%"],
    ...plain(["skew", "kurt", "meanpos", "slope", "histcum1", "histcum2", "histcum3", "nb1", "nb2", "nb3"])]],
  ["Place", [...px(["x", "y", "xm", "ym", "bx", "by", "width", "height", "xstart", "ystart"]), ["angle", "°"]]],
];
const ENDINGS = [["_mm2", "mm²"], ["_mm3", "mm³"], ["_mm", "mm"], ["_um", "µm"], ["_px", "px"]];
const KNOWN = new Set(GROUPS.flatMap(([, measures]) => measures.map(([name]) => name)));

const unitOf = (name) => ENDINGS.find(([ending]) => name.endsWith(ending))?.[1] ?? "";

/** Gives `[group, [[label, value, unit], ...]]` for each group that has any. */
export function grouped(measures) {
  const groups = GROUPS.map(([group, names]) => [
    group,
    names.filter(([name]) => name in measures).map(([name, unit, label]) => [label ?? name, measures[name], unit]),
  ]);
  const others = Object.entries(measures).filter(([name, value]) => !KNOWN.has(name) && typeof value !== "object");
  groups.push(["Other", others.map(([name, value]) => [name, value, unitOf(name)])]);
  return groups.filter(([, rows]) => rows.length);
}
