// A class typed with suggestions: a combobox as ARIA describes it.

import { h, swatch } from "./dom.js";

const MOST = 40;
// What the service takes as a new class.
const NAME = /^[A-Za-z0-9_\-<>() ]{1,100}$/;
let made = 0;

export class ClassInput {
  /** `chosen` is called with the class. */
  constructor(scan, chosen) {
    Object.assign(this, { scan, chosen, at: -1, found: [] });
    const id = `classes-${++made}`;
    this.list = h("ul", { id, role: "listbox", "aria-label": "Classes", hidden: true });
    this.input = h("input", {
      type: "text",
      role: "combobox",
      "aria-expanded": "false",
      "aria-controls": id,
      "aria-autocomplete": "list",
      "aria-label": "Class of the selected objects",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 100,
      placeholder: "Class…",
      oninput: () => this.suggest(),
      onfocus: () => this.suggest(),
      onblur: () => this.hide(),
      onkeydown: (event) => this.key(event),
    });
    this.element = h("div", { class: "combo" }, this.input, this.list);
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  suggest() {
    const typed = this.input.value.trim();
    const low = typed.toLowerCase();
    const names = this.scan.counts().map(([name]) => name);
    const starts = names.filter((name) => name.toLowerCase().startsWith(low));
    const holds = names.filter((name) => !starts.includes(name) && name.toLowerCase().includes(low));
    this.found = [...starts, ...holds].slice(0, MOST);
    const isNew = typed && NAME.test(typed) && !names.includes(typed);
    if (isNew) this.found.push(typed);
    this.list.replaceChildren(
      ...this.found.map((name, index) =>
        h(
          "li",
          // Pressing the mouse must not take the focus from the input: that would hide the list.
          { role: "option", id: `${this.list.id}-${index}`, "aria-selected": "false", onpointerdown: (event) => event.preventDefault(), onclick: () => this.choose(name) },
          swatch(this.scan.colourOf(name)),
          name,
          isNew && index === this.found.length - 1 && h("span", { class: "soft" }, " new class"),
        ),
      ),
    );
    this.list.hidden = !this.found.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.light(typed && this.found.length ? 0 : -1);
  }

  light(index) {
    this.at = index;
    [...this.list.children].forEach((option, each) => option.setAttribute("aria-selected", String(each === index)));
    const option = this.list.children[index];
    if (option) {
      this.input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.suggest();
      const by = event.key === "ArrowDown" ? 1 : -1;
      if (this.found.length) this.light((this.at + by + this.found.length) % this.found.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.found[this.at]) this.choose(this.found[this.at]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (this.list.hidden) this.input.blur();
      this.hide();
    }
  }

  choose(name) {
    this.hide();
    this.input.value = "";
    this.input.blur();
    this.chosen(name);
  }

  hide() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }
}
