// The scan as deep-zoom tiles (OpenSeadragon) with outlines over it; selecting, and drawing the line of a split.

import { jobPath, patiently } from "./api.js";
import { button, diameterText, h, percent, score } from "./dom.js";
import { FINAL } from "./jobs.js";
import { Knife } from "./knife.js";
import { fault } from "./notices.js";
import { draw } from "./outlines.js";
import { contains } from "./scan.js";

const { OpenSeadragon } = globalThis;
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const POLL = 500;
// In these states a job's scan is whole and known to be good.
const SHOWN = ["predicting", "measuring", "done"];
// A drawing of so many ms is not made in each frame; it is made anew so many ms after the last movement.
const [SLOW, REST] = [10, 120];

// OpenSeadragon adds a style element unless it finds one of this mark, and the page's policy forbids such elements. It
// finds this one, which is a style by name only.
if (!document.querySelector("style[data-openseadragon-mobile-css]")) {
  const mark = document.createElementNS("urn:nothing", "style");
  mark.setAttribute("data-openseadragon-mobile-css", "");
  document.head.append(mark);
}

/** Answers for a scan that is not to be had yet, though its work has begun. */
function early(error) {
  if (error.status !== 409) throw error;
  return {};
}

export class Viewer {
  constructor(scan) {
    this.scan = scan;
    this.stop = new AbortController();
    this.stage = h("div", { class: "osd" });
    this.canvas = h("canvas", { class: "over", "aria-hidden": "true" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.waiting = h("p", { class: "empty", role: "status" }, "The picture is being prepared.");
    const zoom = (by) => () => this.zoom(by);
    this.tools = h(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("+", zoom(1.6), { "aria-label": "Zoom in", title: "Zoom in (+)" }),
      button("−", zoom(1 / 1.6), { "aria-label": "Zoom out", title: "Zoom out (−)" }),
      button("⤢", () => this.home(), { "aria-label": "Whole scan", title: "Whole scan (0)" }),
    );
    this.scale = h("div", { class: "scale", "aria-hidden": "true" });
    this.element = h("div", { class: "viewer", role: "application", tabindex: 0, "aria-label": "Scan with outlines; arrows move, plus and minus zoom" },
      this.stage, this.tip, this.tools, this.scale, this.waiting);
    this.redraw = () => this.ask();
    for (const kind of ["objects", "selection", "shown", "hover"]) scan.addEventListener(kind, this.redraw);
    this.open().catch(fault);
  }

  close() {
    this.stop.abort();
    this.closed = true;
    for (const kind of ["objects", "selection", "shown", "hover"]) this.scan.removeEventListener(kind, this.redraw);
    this.osd?.destroy();
  }

  /** Waits for the tiles and opens them. */
  async open() {
    for (;;) {
      const { state } = this.scan.job;
      if (!SHOWN.includes(state) && FINAL.includes(state)) {
        this.waiting.textContent = "There is no picture of this scan.";
        return;
      }
      if (!SHOWN.includes(state)) {
        this.waiting.textContent = "The scan can be looked at once its work has begun.";
        await new Promise((done) => this.scan.addEventListener("job", done, { once: true, signal: this.stop.signal }));
        continue;
      }
      const about = await patiently(jobPath(this.scan.id, "tiles"), fault, this.stop.signal).catch(early);
      if (about.width) {
        this.show(about);
        return;
      }
      this.waiting.textContent = `The picture is being prepared: ${percent(about.progress ?? 0)}.`;
      await new Promise((done) => setTimeout(done, POLL));
      this.stop.signal.throwIfAborted();
    }
  }

  show({ width, height, tile, levels }) {
    this.waiting.remove();
    this.osd = OpenSeadragon({
      element: this.stage,
      tileSources: {
        width,
        height,
        tileSize: tile,
        minLevel: 0,
        maxLevel: levels - 1,
        getTileUrl: (level, x, y) => `${jobPath(this.scan.id, "tiles")}/${level}/${x}_${y}.jpg`,
      },
      // A tile that was not answered is asked for again, some seconds later.
      tileRetryMax: 5,
      drawer: "canvas",
      showNavigationControl: false,
      showNavigator: matchMedia("(min-width: 60rem)").matches,
      navigatorPosition: "BOTTOM_LEFT",
      navigatorSizeRatio: 0.14,
      navigatorAutoFade: false,
      navigatorBorderColor: "#58626c",
      navigatorDisplayRegionColor: "#0067a8",
      keyboardNavEnabled: false,
      tabIndex: -1,
      maxZoomPixelRatio: 8,
      minZoomImageRatio: 0.7,
      visibilityRatio: 0.4,
      animationTime: CALM.matches ? 0 : 0.35,
      springStiffness: 10,
      blendTime: 0,
      imageLoaderLimit: 6,
      maxImageCacheCount: 120,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsPen: { clickToZoom: false },
    });
    // Below the navigator, above the tiles.
    this.osd.canvas.append(this.canvas);
    this.osd.addHandler("update-viewport", () => this.paint());
    this.osd.addHandler("canvas-click", (event) => this.clicked(event));
    this.osd.addOnceHandler("open", () => this.wanted && this.lookAt(this.wanted, true));
    this.stage.addEventListener("pointermove", (event) => this.pointed(event));
    this.stage.addEventListener("pointerleave", () => this.leave());
  }

  ask() {
    this.osd?.forceRedraw();
  }

  /** Where the scan stands on the screen. */
  place() {
    const viewport = this.osd.viewport;
    const { x: left, y: top } = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const { x: width, y: height } = viewport.getContainerSize();
    return { scale: viewport.viewportToImageZoom(viewport.getZoom(true)), left, top, width, height };
  }

  /** Draws the outlines; while the scan moves, a drawing that took long is moved along and made anew afterwards. */
  paint() {
    if (!this.osd?.world.getItemCount()) return;
    const place = this.place();
    const moving = this.drawn && (place.scale !== this.drawn.scale || place.left !== this.drawn.left || place.top !== this.drawn.top);
    if (moving && this.took > SLOW) {
      const by = place.scale / this.drawn.scale;
      this.canvas.style.transform = `translate(${place.left - by * this.drawn.left}px, ${place.top - by * this.drawn.top}px) scale(${by})`;
      clearTimeout(this.later);
      this.later = setTimeout(() => this.closed || this.redo(place), REST);
    } else this.redo(place);
    this.drawScale(place.scale);
  }

  redo(place) {
    clearTimeout(this.later);
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [Math.round(place.width * ratio), Math.round(place.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const [context, begun] = [this.canvas.getContext("2d"), performance.now()];
    this.canvas.style.transform = "";
    draw(context, this.scan, place, ratio);
    this.cutting?.knife.draw(context, place);
    [this.drawn, this.took] = [place, performance.now() - begun];
  }

  /** A bar of a round length. */
  drawScale(scale) {
    const dpi = this.scan.job.dpi;
    const perPixel = dpi ? 25.4 / dpi : 1;
    const most = (120 / scale) * perPixel;
    const power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].find((digit) => digit * power <= most) * power;
    const text = `${Number(length.toPrecision(1)).toLocaleString("en", { maximumFractionDigits: 6 })} ${dpi ? "mm" : "px"}`;
    if (this.scale.textContent !== text) this.scale.textContent = text;
    this.scale.style.width = `${(length / perPixel) * scale}px`;
  }

  /** The place of an event in the scan. */
  inScan(event) {
    const box = this.stage.getBoundingClientRect();
    const { scale, left, top } = this.place();
    return [(event.clientX - box.left - left) / scale, (event.clientY - box.top - top) / scale];
  }

  /** The smallest shown object at a place; one that is small on the screen counts a little around it. */
  at([x, y]) {
    const near = 4 / this.place().scale;
    let found = null;
    for (const object of this.scan.objects.values()) {
      const [left, top, width, height] = object.box;
      if (x < left - near || y < top - near || x > left + width + near || y > top + height + near) continue;
      if (this.scan.hidden.has(object.taxon)) continue;
      const tiny = Math.max(width, height) < 3 * near;
      if ((tiny || contains(object, x, y)) && (!found || object.area_px < found.area_px)) found = object;
    }
    return found;
  }

  clicked(event) {
    if (!event.quick || this.cutting) return;
    const { originalEvent } = event;
    const found = this.at(this.inScan(originalEvent));
    const add = this.scan.several || originalEvent.shiftKey || originalEvent.ctrlKey || originalEvent.metaKey;
    if (found) this.scan.select([found.label], add);
    else if (!add) this.scan.select([], false);
  }

  pointed(event) {
    if (event.pointerType === "touch" || event.buttons || !this.osd?.world.getItemCount()) return;
    const found = this.cutting ? null : this.at(this.inScan(event));
    this.scan.hover(found?.label ?? null);
    this.tip.hidden = !found;
    if (!found) return;
    this.tip.textContent = `${found.taxon}, ${diameterText(found)}, ${score(found.score)}`;
    const box = this.stage.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    this.tip.style.transform = `translate(${Math.min(x + 14, box.width - this.tip.offsetWidth - 4)}px, ${Math.max(4, y - this.tip.offsetHeight - 8)}px)`;
  }

  leave() {
    this.scan.hover(null);
    this.tip.hidden = true;
  }

  zoom(by) {
    this.osd?.viewport.zoomBy(by).applyConstraints();
  }

  home() {
    this.osd?.viewport.goHome();
  }

  move(x, y) {
    this.osd?.viewport.panBy(this.osd.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(80 * x, 80 * y))).applyConstraints();
  }

  /** Brings an object to the middle, and so near that it can be judged. */
  lookAt(object, always = false) {
    if (!this.osd?.world.getItemCount()) {
      this.wanted = object;
      return;
    }
    const [x, y, width, height] = object.box;
    const { scale, left, top, width: wide, height: high } = this.place();
    const side = Math.max(width, height);
    const seen = left + x * scale > 20 && top + y * scale > 20 && left + (x + width) * scale < wide - 20 && top + (y + height) * scale < high - 20;
    if (seen && side * scale > 60 && !always) return;
    const around = Math.max(3 * side, 200);
    const box = new OpenSeadragon.Rect(x + width / 2 - around / 2, y + height / 2 - around / 2, around, around);
    this.osd.viewport.fitBounds(this.osd.viewport.imageToViewportRectangle(box), CALM.matches);
  }

  // Splitting

  /** Lets the user draw a line over an object; `done` is called with its points. */
  cut(object, done) {
    this.endCut();
    // Near enough to see where the animals touch.
    this.lookAt(object, Math.max(object.box[2], object.box[3]) * this.place().scale < 200);
    this.cutting = { knife: new Knife(object.box), done, events: new AbortController() };
    this.osd.setMouseNavEnabled(false);
    this.element.classList.add("cutting");
    this.canvas.addEventListener("pointerdown", (event) => this.startLine(event), { signal: this.cutting.events.signal });
    this.element.focus();
    this.ask();
  }

  startLine(event) {
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const { knife, events } = this.cutting;
    knife.begin(this.inScan(event));
    const move = (next) => {
      knife.reachTo(this.inScan(next), this.place().scale);
      this.ask();
    };
    this.canvas.addEventListener("pointermove", move, { signal: events.signal });
    this.canvas.addEventListener("pointerup", () => this.finishCut(), { signal: events.signal, once: true });
  }

  moveKnife(by, turn) {
    this.cutting.knife.move(by, turn);
    this.ask();
  }

  finishCut() {
    const { knife, done } = this.cutting;
    const line = knife.finished();
    this.endCut();
    done(line);
  }

  endCut() {
    this.cutting?.events.abort();
    this.cutting = null;
    this.osd?.setMouseNavEnabled(true);
    this.element.classList.remove("cutting");
    this.ask();
  }
}
