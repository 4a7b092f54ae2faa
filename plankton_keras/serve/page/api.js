// Calls of the service: its errors as they are, its token asked for once.

/** What the service refuses: status, and the three lines that say why. */
export class Refused extends Error {
  constructor(status, { error, expected, fix } = {}) {
    super(error || `The service answered ${status}.`);
    Object.assign(this, { status, expected: expected || "", fix: fix || "" });
  }
}

const SILENT = {
  error: "The service does not answer.",
  expected: "a running service and a network to it.",
  fix: "start it again with plankton serve; the page goes on by itself.",
};

// Milliseconds after which a stream that was refused is asked for again.
const RETRY = 5000;

/** Whether trying again may help: nobody answered, the service is busy, or it failed. */
export const passing = (error) => error.status === 0 || error.status === 408 || error.status === 429 || error.status >= 500;

export async function refusal(status, text) {
  try {
    return new Refused(status, JSON.parse(text));
  } catch {
    return new Refused(status);
  }
}

/** Throws what a broken connection is to the page; what the page itself gave up stays as it is. */
function silent(error) {
  throw error.name === "TypeError" ? new Refused(0, SILENT) : error;
}

const answer = (method, path, options) => fetch(path, { method, ...options }).catch(silent);

/** Asks the service; an answer of 401 asks for the token and tries again. */
export async function ask(method, path, options = {}) {
  for (;;) {
    const response = await answer(method, path, options);
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response.status, await response.text());
    await token();
  }
}

export async function json(method, path, body, signal) {
  const options = { signal };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const response = await ask(method, path, options);
  return response.status === 204 ? null : response.json().catch(silent);
}

/** Asks until the service answers, or the signal says that nobody waits; `fault` hears of each time that it does not. */
export async function patiently(path, fault, signal) {
  for (;;) {
    try {
      return await json("GET", path, undefined, signal);
    } catch (error) {
      if (!passing(error)) throw error;
      fault(error);
      await new Promise((done) => setTimeout(done, RETRY));
      signal?.throwIfAborted();
    }
  }
}

let asking = null;

/** Asks the user for the token, once at a time, until the service takes it. */
export function token() {
  asking ??= signIn().finally(() => (asking = null));
  return asking;
}

async function signIn() {
  const dialog = document.getElementById("token");
  const [form, fault] = [dialog.querySelector("form"), dialog.querySelector(".fault")];
  for (;;) {
    dialog.returnValue = "";
    dialog.showModal();
    await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
    const given = form.elements.token.value;
    if (!given) continue;
    const body = JSON.stringify({ token: given });
    const response = await answer("POST", "session", { body, headers: { "Content-Type": "application/json" } });
    form.reset();
    fault.textContent = response.ok ? "" : (await refusal(response.status, await response.text())).message;
    if (response.ok) return;
  }
}

/** Listens to the changes of jobs; gives a function that ends it. `back` is called when the line was cut and is there again. */
export function listen(path, { changed, removed = () => {}, back }) {
  let [source, timer, cut, ended] = [null, null, false, false];
  function open() {
    if (ended || document.hidden) return;
    source?.close();
    source = new EventSource(path);
    source.addEventListener("job", (event) => changed(JSON.parse(event.data)));
    source.addEventListener("deleted", (event) => removed(JSON.parse(event.data).id));
    source.addEventListener("error", () => {
      cut = true;
      // The browser tries again where nobody answers, but takes a refusal for the end: of a proxy whose service starts anew.
      if (source.readyState === EventSource.CLOSED) later();
    });
    source.addEventListener("open", () => {
      if (cut) back();
      cut = false;
    });
  }
  // Asks first, for the token too, since an EventSource does not say what is wrong.
  const again = () => ask("GET", "v1/service").then(back).then(open).catch(later);
  const later = () => (timer = setTimeout(again, RETRY));
  const rest = () => {
    clearTimeout(timer);
    source?.close();
    cut = true;
  };
  // A browser has six connections to a service for all its tabs: those that nobody sees leave theirs to the others.
  const seen = () => {
    rest();
    open();
  };
  document.addEventListener("visibilitychange", seen);
  open();
  return () => {
    ended = true;
    document.removeEventListener("visibilitychange", seen);
    rest();
  };
}

export const jobPath = (id, ...rest) => ["v1/jobs", id, ...rest].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
