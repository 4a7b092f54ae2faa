// The line that splits an object: drawn by hand, or a straight one that is moved and turned by keys.

// A step of a key: a share of the line's half, and an angle.
const [STEP, TURN] = [0.05, Math.PI / 24];
// Points of a drawn line are so many pixels of the screen apart.
const APART = 2;

export class Knife {
  /** Begins as a straight line across the middle of a box, at right angles to its longer side. */
  constructor([x, y, width, height]) {
    this.middle = [x + width / 2, y + height / 2];
    this.angle = width > height ? Math.PI / 2 : 0;
    this.reach = 0.6 * Math.hypot(width, height);
    this.move(0, 0);
  }

  /** Moves the line at right angles to itself by steps, and turns it by steps. */
  move(by, turn) {
    this.angle += turn * TURN;
    const [x, y] = this.middle;
    const [across, down] = [Math.cos(this.angle) * this.reach, Math.sin(this.angle) * this.reach];
    this.middle = [x + by * STEP * down, y - by * STEP * across];
    this.line = [-1, 1].map((side) => [this.middle[0] + side * across, this.middle[1] + side * down]);
  }

  /** Begins a line drawn by hand. */
  begin(point) {
    this.line = [point];
  }

  /** Draws it on to a point, at a scale of pixels on the screen for one of the scan. */
  reachTo([x, y], scale) {
    const [lastX, lastY] = this.line.at(-1);
    if (Math.hypot(x - lastX, y - lastY) * scale > APART) this.line.push([x, y]);
  }

  /** The line to a tenth of a pixel; null where it is a point only. */
  finished() {
    return this.line.length > 1 ? this.line.map((point) => point.map((value) => Math.round(10 * value) / 10)) : null;
  }

  draw(context, { scale, left, top }) {
    context.beginPath();
    this.line.forEach(([x, y], index) => context[index ? "lineTo" : "moveTo"](left + x * scale, top + y * scale));
    for (const [colour, width] of [["#ffffff", 5], ["#b3001b", 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }
}
