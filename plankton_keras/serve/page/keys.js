// The keys of an open scan. Those without Ctrl can be turned off, for speech input and the like.

const switchOf = () => document.getElementById("single-keys");

/** Whether a key is for what has the focus: a field, or an open dialog. */
function taken(event) {
  return event.target.closest?.("dialog, input:not([type=checkbox]):not([type=range]), select, textarea") !== null;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Binds the keys of a scan view; gives a function that ends it. */
export function bindKeys(view) {
  const { scan } = view;
  const keys = {
    o: () => scan.toggleOutlines(),
    v: () => view.mode("viewer"),
    g: () => view.mode("gallery"),
    n: () => view.step(1),
    p: () => view.step(-1),
    c: () => scan.selected.size && view.name(),
    m: () => scan.merge(),
    s: () => view.split(),
    Delete: () => view.remove(),
    "+": () => view.viewer.zoom(1.6),
    "=": () => view.viewer.zoom(1.6),
    "-": () => view.viewer.zoom(1 / 1.6),
    0: () => view.viewer.home(),
  };
  for (let number = 1; number <= 9; number++) {
    keys[number] = () => scan.commonest[number - 1] && scan.rename(scan.commonest[number - 1]);
  }

  function pressed(event) {
    if (taken(event) || event.altKey) return;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (letter === "a" && view.now === "gallery") {
        event.preventDefault();
        scan.selectShown();
      }
      const undo = letter === "z" && !event.shiftKey;
      if (!undo && letter !== "y" && letter !== "z") return;
      event.preventDefault();
      undo ? scan.undo() : scan.redo();
    } else if (event.key === "Escape") {
      if (!view.cancelSplit()) scan.select([], false);
    } else if (view.viewer.cutting) cut(event);
    else if (event.key in ARROWS) move(event);
    else if (switchOf().checked && keys[letter]) {
      event.preventDefault();
      keys[letter]();
    }
  }

  function cut(event) {
    const [turn, by] = [{ ArrowUp: 1, ArrowDown: -1 }[event.key] ?? 0, { ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0];
    if (!turn && !by && event.key !== "Enter") return;
    event.preventDefault();
    event.key === "Enter" ? view.viewer.finishCut() : view.viewer.moveKnife(by, turn);
  }

  function move(event) {
    if (view.now !== "viewer" || event.target.closest("aside, .bar, header")) return;
    event.preventDefault();
    view.viewer.move(...ARROWS[event.key]);
  }

  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}
