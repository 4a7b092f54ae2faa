// Uploads by tus 1.0: in parts, going on after a broken connection, and after a reload once the same file is dropped again.

import { ask, passing, refusal, Refused, token } from "./api.js";

const PART = 8 * 2 ** 20;
const LONGEST_WAIT = 30;
const VERSION = { "Tus-Resumable": "1.0.0" };

// The id of a begun upload is kept under this. The resolution belongs to it: the service takes it only when the upload
// begins, and one begun with another, or with none, would have other millimetres than were said now.
const keyOf = ({ file, dpi }) => `upload ${file.name} ${file.size} ${file.lastModified}${dpi ? ` ${dpi} dpi` : ""}`;
const DPI = /^ [\d.e+-]+ dpi$/;

/** The key of what was begun of the same file before; where no resolution is said, with whichever. */
function begun(upload) {
  const key = keyOf(upload);
  if (upload.dpi || localStorage.getItem(key)) return key;
  return Object.keys(localStorage).find((each) => each.startsWith(key) && DPI.test(each.slice(key.length))) ?? key;
}

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** A file on its way; `changed` is called whenever `sent`, `state` or `error` change. */
export class Upload {
  constructor(file, dpi, changed) {
    Object.assign(this, { file, dpi, changed, id: null, key: null, sent: 0, state: "starting", error: null });
    this.stop = new AbortController();
  }

  get path() {
    return `v1/uploads/${this.id}`;
  }

  /** Sends the file; resolves when it is whole, was cancelled, or cannot be sent. */
  async run() {
    try {
      await this.whole();
      this.become("done");
      localStorage.removeItem(this.key);
    } catch (error) {
      if (this.stop.signal.aborted) return this.become("cancelled");
      this.error = error;
      this.become("failed");
    }
    return undefined;
  }

  async whole() {
    for (let failures = 0; ; ) {
      try {
        this.sent = await this.offset();
        while (this.sent < this.file.size) {
          this.error = null;
          this.become("sending");
          this.sent = await this.part();
          failures = 0;
        }
        return;
      } catch (error) {
        this.stop.signal.throwIfAborted();
        // The offset is another one by now, or the request that broke is still being written.
        const moved = error.status === 409 || error.status === 423;
        if (!passing(error) && !moved) throw error;
        this.error = error;
        this.become("waiting");
        await this.pause(Math.min(LONGEST_WAIT, 2 ** failures++));
      }
    }
  }

  /** How much the service has; begins the upload where there is none. */
  async offset() {
    this.key ??= begun(this);
    this.id ??= localStorage.getItem(this.key);
    if (this.id) {
      try {
        const response = await ask("HEAD", this.path, { headers: VERSION, signal: this.stop.signal });
        return Number(response.headers.get("Upload-Offset"));
      } catch (error) {
        if (error.status !== 404 && error.status !== 410) throw error;
        localStorage.removeItem(this.key);
        this.key = keyOf(this);
      }
    }
    const about = [`filename ${base64(this.file.name)}`];
    if (this.dpi) about.push(`dpi ${base64(String(this.dpi))}`);
    const headers = { ...VERSION, "Upload-Length": String(this.file.size), "Upload-Metadata": about.join(",") };
    const response = await ask("POST", "v1/uploads", { headers, signal: this.stop.signal });
    this.id = new URL(response.headers.get("Location"), document.baseURI).pathname.split("/").pop();
    localStorage.setItem(this.key, this.id);
    return 0;
  }

  /** Sends the next part and gives the new offset; by XMLHttpRequest, which tells how far it is. */
  async part() {
    const from = this.sent;
    const request = new XMLHttpRequest();
    request.open("PATCH", this.path);
    const headers = { ...VERSION, "Upload-Offset": String(from), "Content-Type": "application/offset+octet-stream" };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      this.sent = from + event.loaded;
      this.changed(this);
    };
    const cancel = () => request.abort();
    this.stop.signal.addEventListener("abort", cancel);
    await new Promise((done) => {
      request.onloadend = done;
      request.send(this.file.slice(from, from + PART));
    });
    this.stop.signal.removeEventListener("abort", cancel);
    this.stop.signal.throwIfAborted();
    if (request.status === 0) throw new Refused(0);
    if (request.status === 401) {
      await token();
      return this.offset();
    }
    if (request.status !== 204 && request.status !== 200) throw await refusal(request.status, request.responseText);
    return Number(request.getResponseHeader("Upload-Offset"));
  }

  /** Waits, but not longer than until the network is back. */
  pause(seconds) {
    return new Promise((done) => {
      const over = () => {
        clearTimeout(timer);
        removeEventListener("online", over);
        this.stop.signal.removeEventListener("abort", over);
        done();
      };
      const timer = setTimeout(over, 1000 * seconds);
      addEventListener("online", over);
      this.stop.signal.addEventListener("abort", over);
    });
  }

  become(state) {
    this.state = state;
    this.changed(this);
  }

  /** Ends the upload and lets the service forget what it has. */
  async cancel() {
    this.stop.abort();
    // One that waits in the queue has no key yet, and what was begun before stays.
    if (this.key) localStorage.removeItem(this.key);
    if (this.id) await ask("DELETE", this.path, { headers: VERSION }).catch(() => {});
  }
}
