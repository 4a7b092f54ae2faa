// The list of scans: dropped, on their way, computed, done; and the prediction folders that the service offers.

import { json, jobPath, listen } from "./api.js";
import { amount, announce, button, bytes, count, h, many, percent, seconds } from "./dom.js";
import { attempt, confirmed } from "./notices.js";
import { Upload } from "./upload.js";

export const FINAL = ["done", "failed", "cancelled"];
// In these states there is no scan to open.
const SCANLESS = ["uploading", "failed", "cancelled"];
const WORDS = {
  uploading: "uploading",
  waiting: "waiting",
  predicting: "finding objects",
  measuring: "measuring objects",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
};

/** The list; it stays while another view is open, and so do files on their way. `service` is what /v1/service says. */
export class JobList {
  constructor(element, service) {
    this.service = service;
    this.rows = new Map();
    this.uploads = new Map();
    this.queue = [];
    this.list = h("ul", { class: "jobs", "aria-label": "Scans" });
    this.none = h("p", { class: "empty" }, "No scan yet. Drop one above.");
    this.folders = h("section", { class: "folders", hidden: true });
    element.append(h("div", { class: "page" }, this.drop(), this.none, this.list, this.folders));
    listen("v1/events", { changed: (job) => this.show(job), removed: (id) => this.remove(id), back: () => this.load() });
    this.load();
    attempt(() => this.loadFolders());
  }

  drop() {
    const input = h("input", { type: "file", multiple: true, id: "files", class: "hidden", onchange: () => this.take(input) });
    this.dpi = h("input", { type: "number", min: 1, max: 100000, step: "any", inputmode: "decimal", placeholder: "from the file", id: "dpi" });
    const zone = h(
      "section",
      { class: "drop", "aria-label": "Add scans" },
      h("p", {}, h("strong", {}, "Drop scans here"), " or ", h("label", { for: "files", class: "button main" }, "Choose files"), input),
      h("p", { class: "soft" }, this.limits()),
      h("label", { class: "inline" }, "Resolution ", this.dpi, " dpi"),
    );
    // The whole window takes files: a browser would else open one that misses the zone.
    const carries = (event) => event.dataTransfer?.types.includes("Files");
    const over = (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      zone.classList.toggle("over", event.type !== "dragleave" || event.relatedTarget !== null);
    };
    const dropped = (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      zone.classList.remove("over");
      this.add([...event.dataTransfer.files]);
      location.hash = "#/";
    };
    for (const kind of ["dragenter", "dragover", "dragleave"]) addEventListener(kind, over);
    addEventListener("drop", dropped);
    return zone;
  }

  limits() {
    const { upload_bytes: most, megapixels } = this.service.limits ?? {};
    const limits = [most && `at most ${bytes(most)}`, megapixels && `${count(megapixels)} megapixels`].filter(Boolean);
    return `TIFF, PNG, PGM, BMP, GIF or JPEG${limits.length ? `, ${limits.join(" and ")}` : ""}. A file that was cut off goes on when it is dropped again.`;
  }

  take(input) {
    this.add([...input.files]);
    input.value = "";
  }

  /** Sends files one after the other. */
  add(files) {
    for (const file of files) {
      const upload = new Upload(file, this.dpi.valueAsNumber || null, (each) => this.sent(each));
      this.queue.push(upload);
      upload.row = new UploadRow(upload, () => this.forget(upload));
      this.list.prepend(upload.row.element);
    }
    this.tidy();
    this.work ??= this.sendAll();
  }

  async sendAll() {
    for (let upload; (upload = this.queue.shift()); ) await upload.run();
    this.work = null;
  }

  /** An upload that the service knows is the row of its job. */
  sent(upload) {
    if (upload.id && !this.uploads.has(upload.id) && FINAL.indexOf(upload.state) < 0) {
      this.uploads.set(upload.id, upload);
      this.rows.get(upload.id)?.element.remove();
      this.rows.delete(upload.id);
    }
    upload.row.update();
    if (upload.state !== "done") return;
    announce(`${upload.file.name} is uploaded.`);
    attempt(async () => {
      try {
        this.become(upload, await json("GET", jobPath(upload.id)));
      } catch (error) {
        this.become(upload);
        throw error;
      }
    });
  }

  /** The row of an upload gives way to that of its job. */
  become(upload, job) {
    this.uploads.delete(upload.id);
    upload.row.element.remove();
    if (job) this.show(job);
    else this.load();
  }

  forget(upload) {
    this.queue = this.queue.filter((each) => each !== upload);
    this.uploads.delete(upload.id);
    upload.cancel().then(() => this.load());
    upload.row.element.remove();
    this.tidy();
  }

  load() {
    return attempt(async () => {
      const { jobs } = await json("GET", "v1/jobs");
      const known = new Set(jobs.map((job) => job.id));
      for (const id of [...this.rows.keys()]) if (!known.has(id)) this.remove(id);
      for (const job of jobs.toReversed()) this.show(job);
      // What the events told first may stand in another order.
      const rows = jobs.map((job) => this.rows.get(job.id)?.element).filter(Boolean);
      const shown = [...this.list.children].filter((row) => rows.includes(row));
      if (rows.some((row, index) => row !== shown[index])) this.list.append(...rows);
      this.tidy();
    });
  }

  show(job) {
    if (this.uploads.has(job.id)) return;
    const row = this.rows.get(job.id);
    if (row) row.update(job);
    else {
      const made = new JobRow(job, () => this.remove(job.id));
      this.rows.set(job.id, made);
      this.list.prepend(made.element);
    }
    this.tidy();
  }

  remove(id) {
    this.rows.get(id)?.element.remove();
    this.rows.delete(id);
    this.tidy();
  }

  tidy() {
    this.none.hidden = this.list.children.length > 0;
  }

  async loadFolders() {
    const { folders } = await json("GET", "v1/folders");
    if (!folders.length) return;
    const open = (folder) =>
      attempt(async () => {
        await json("POST", `v1/folders/${encodeURIComponent(folder.id)}`);
        await this.load();
        this.list.querySelector("a")?.focus();
      });
    this.folders.append(
      h("h2", {}, "Prediction folders on the server"),
      h(
        "ul",
        { class: "jobs" },
        folders.map((folder) =>
          h(
            "li",
            { class: "job" },
            h("div", { class: "what" }, h("strong", {}, folder.name), h("span", { class: "soft" }, many(folder.scans, "scan"))),
            button("Open", () => open(folder), { "aria-label": `Open ${folder.name}` }),
          ),
        ),
      ),
    );
    this.folders.hidden = false;
  }
}

function bar(label) {
  return h("progress", { max: 1, value: 0, "aria-label": label });
}

class UploadRow {
  constructor(upload, cancel) {
    Object.assign(this, { upload, begun: performance.now(), first: null });
    this.bar = bar(`Upload of ${upload.file.name}`);
    this.facts = h("span", { class: "soft" });
    this.cancel = button("Cancel", cancel, { "aria-label": `Cancel ${upload.file.name}` });
    const what = h("div", { class: "what" }, h("strong", {}, upload.file.name), this.facts);
    this.element = h("li", { class: "job" }, what, this.bar, this.cancel);
    this.update();
  }

  update() {
    const { sent, file, state, error } = this.upload;
    this.bar.value = file.size ? sent / file.size : 0;
    this.bar.hidden = state === "failed";
    if (state === "failed") {
      this.cancel.textContent = "Remove";
      this.facts.replaceChildren(...lines(error));
    } else this.facts.textContent = this.words(sent, file.size, state);
  }

  words(sent, size, state) {
    if (state === "starting") return `${bytes(size)}, in the queue`;
    if (state === "waiting") {
      const why = this.upload.error.status ? this.upload.error.message : "the connection broke";
      return `${bytes(sent)} of ${bytes(size)}: ${why.replace(/\.$/, "")}, trying again`;
    }
    this.first ??= { sent, at: performance.now() };
    const passed = (performance.now() - this.first.at) / 1000;
    const speed = (sent - this.first.sent) / passed;
    const left = passed > 2 && speed > 0 ? `, ${seconds((size - sent) / speed)} left` : "";
    return `${bytes(sent)} of ${bytes(size)}, ${percent(size ? sent / size : 1)}${left}`;
  }
}

function lines(error) {
  return [error.message ?? error.error, error.expected && `Expected: ${error.expected}`, error.fix && `Fix: ${error.fix}`]
    .filter(Boolean)
    .map((line) => h("span", { class: "line" }, line));
}

class JobRow {
  constructor(job, removed) {
    this.name = h("a", { class: "name" });
    this.state = h("span", { class: "state" });
    this.facts = h("span", { class: "soft" });
    this.bar = bar(`Progress of ${job.scan}`);
    this.end = button("", () => this.stop(removed));
    this.element = h("li", { class: "job" }, h("div", { class: "what" }, this.name, this.state, this.facts), this.bar, this.end);
    this.update(job);
  }

  update(job) {
    const said = this.job?.state;
    this.job = job;
    this.name.textContent = job.scan;
    if (SCANLESS.includes(job.state)) this.name.removeAttribute("href");
    else this.name.href = `#/scan/${encodeURIComponent(job.id)}`;
    this.state.textContent = WORDS[job.state] ?? job.state;
    this.state.className = `state ${job.state}`;
    this.bar.hidden = FINAL.includes(job.state) || job.state === "waiting";
    this.bar.value = job.state === "uploading" ? job.received / Math.max(1, job.bytes) : (job.progress ?? 0);
    this.facts.replaceChildren(...(job.error ? lines(job.error) : [facts(job)]));
    const final = FINAL.includes(job.state);
    this.end.textContent = final ? "Delete" : "Cancel";
    this.end.setAttribute("aria-label", `${this.end.textContent} ${job.scan}`);
    if (said && said !== job.state && final) announce(`${job.scan}: ${WORDS[job.state]}.`);
  }

  async stop(removed) {
    const { id, scan, state } = this.job;
    const done = FINAL.includes(state);
    const sure = done
      ? await confirmed(`Delete ${scan}?`, "Its scan, results and corrections are removed from the service.", "Delete")
      : await confirmed(`Cancel ${scan}?`, `What was ${state === "uploading" ? "sent" : "computed"} so far is lost.`, "Cancel it");
    if (!sure) return;
    await attempt(async () => {
      const job = await json("DELETE", jobPath(id));
      if (job && !done) this.update(job);
      else removed();
    });
  }
}

function facts(job) {
  if (job.state === "uploading") {
    return `${bytes(job.received)} of ${bytes(job.bytes)} arrived. If it stands still, drop the same file again.`;
  }
  const known = [
    job.megapixels && `${amount(job.megapixels)} Mpx`,
    job.dpi ? `${amount(job.dpi)} dpi` : job.state === "done" && "resolution unknown",
    job.objects !== null && job.objects !== undefined && many(job.objects, "object"),
    job.seconds && job.state === "done" && `${seconds(job.seconds)} to compute`,
    job.created && when("added", job.created),
    job.expires && when("deleted", job.expires),
  ];
  return known.filter(Boolean).join(" · ");
}

function when(word, iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : `${word} ${date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}
