// Draws the outlines of objects on a canvas over the scan: only what is in sight, and only as fine as can be seen.

const RIM = "rgb(0 0 0 / 0.45)";
// With so many objects in sight, those with a side below so many pixels on the screen are a dot: the eye sees no shape
// among thousands, and outlines cost time.
const DOTS = [[3000, 16], [1000, 9], [0, 5]];
// More outlines than this are drawn by lines of one pixel, which are much quicker than wider ones.
const MOST_WIDE = 150;

/** Draws. `place` is `{scale, left, top, width, height}`: pixels on the screen for one of the scan, where the scan begins, and the size of the canvas. */
export function draw(context, scan, place, ratio) {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, place.width, place.height);
  context.lineJoin = "round";
  if (scan.outlines) drawClasses(context, scan, place);
  const marked = [...scan.selected].map((label) => scan.objects.get(label));
  const hovered = scan.objects.get(scan.hovered);
  if (hovered && !scan.selected.has(hovered.label)) mark(context, [hovered], place, scan, 2);
  mark(context, marked.filter(Boolean), place, scan, 3);
}

function drawClasses(context, scan, place) {
  const seen = [...scan.objects.values()].filter((object) => !scan.hidden.has(object.taxon) && inSight(object.box, place));
  const least = DOTS.find(([many]) => seen.length >= many)[1] / place.scale;
  const isDot = ({ box }) => Math.max(box[2], box[3]) < least;
  // A path for each object: one of all of them takes four times as long to draw.
  const outlined = seen.filter((object) => !isDot(object)).map((object) => [object.taxon, traced(object, place)]);
  // Light colours need a dark rim on the pale ground: all around, or as a shadow of thin lines.
  const wide = outlined.length <= MOST_WIDE;
  context.strokeStyle = RIM;
  context.lineWidth = wide ? 3 : 1;
  context.save();
  if (!wide) context.translate(0.8, 0.8);
  for (const [, path] of outlined) context.stroke(path);
  context.restore();
  context.lineWidth = wide ? 1.5 : 1;
  for (const [taxon, path] of outlined) {
    context.strokeStyle = scan.colourOf(taxon);
    context.stroke(path);
  }
  for (const object of seen.filter(isDot)) {
    const [x, y] = middle(object.box, place);
    context.fillStyle = scan.colourOf(object.taxon);
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
}

function mark(context, objects, place, scan, width) {
  for (const object of objects) {
    if (!inSight(object.box, place)) continue;
    const path = traced(object, place);
    const small = Math.max(object.box[2], object.box[3]) * place.scale < 14;
    if (small) {
      const [x, y] = middle(object.box, place);
      path.moveTo(x + 9, y);
      path.arc(x, y, 9, 0, 2 * Math.PI);
    }
    for (const [colour, line] of [["#000000", width + 4], ["#ffffff", width + 2], [scan.colourOf(object.taxon), width]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.stroke(path);
    }
  }
}

function middle([x, y, width, height], { scale, left, top }) {
  return [left + (x + width / 2) * scale, top + (y + height / 2) * scale];
}

function inSight([x, y, width, height], { scale, left, top, width: wide, height: high }) {
  return left + (x + width) * scale >= 0 && top + (y + height) * scale >= 0 && left + x * scale <= wide && top + y * scale <= high;
}

function traced(object, { scale, left, top }) {
  const path = new Path2D();
  for (const ring of simplified(object, scale)) {
    ring.forEach(([x, y], index) => path[index ? "lineTo" : "moveTo"](left + x * scale, top + y * scale));
    path.closePath();
  }
  return path;
}

/** The outline with no more points than a scale can show: made once for each power of two. */
function simplified(object, scale) {
  const power = Math.floor(Math.log2(0.7 / scale));
  if (power < 1) return object.outline;
  if (!object.coarser.has(power)) object.coarser.set(power, object.outline.map((ring) => thinned(ring, 2 ** power)));
  return object.coarser.get(power);
}

/** Leaves out points of a ring that are less than a distance away from the line without them (Douglas and Peucker). */
function thinned(ring, distance) {
  const kept = new Set([0, ring.length - 1]);
  const parts = [[0, ring.length - 1]];
  for (let part; (part = parts.pop()); ) {
    const [first, last] = part;
    const [[x1, y1], [x2, y2]] = [ring[first], ring[last]];
    const [across, down] = [x2 - x1, y2 - y1];
    const length = across * across + down * down;
    let [farthest, most] = [0, distance];
    for (let at = first + 1; at < last; at++) {
      const [x, y] = ring[at];
      const share = length ? Math.min(1, Math.max(0, ((x - x1) * across + (y - y1) * down) / length)) : 0;
      const away = Math.hypot(x - x1 - share * across, y - y1 - share * down);
      if (away > most) [farthest, most] = [at, away];
    }
    if (!farthest) continue;
    kept.add(farthest);
    parts.push([first, farthest], [farthest, last]);
  }
  return [...kept].sort((one, other) => one - other).map((at) => ring[at]);
}
