// What the pages do besides being read. They are whole without it: what needs it is hidden until here.
(() => {
  const FILTERS = ["experiment", "finding", "outcome", "kind", "why", "view"];
  const LAYERS = ["heat", "boxes", "lungs", "crop", "peak"];
  const DOWNWARDS = ["probability"]; // sorted from the highest; all else from the lowest

  // ---- Theme, folds, print ----

  /** The button goes from the system's choice to light to dark, and round again. */
  function wireTheme() {
    const root = document.documentElement;
    const themes = ["auto", "light", "dark"];
    for (const button of all("button.theme")) {
      const say = () => { button.textContent = `Theme: ${root.dataset.theme ?? "auto"}`; };
      button.addEventListener("click", () => {
        const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
        if (next === "auto") delete root.dataset.theme;
        else root.dataset.theme = next;
        say();
      });
      say();
      button.hidden = false;
    }
  }

  /** The contents that lie over a narrow page close once they were used. */
  function wireFold() {
    for (const link of all(".contents a")) {
      link.addEventListener("click", () => {
        for (const fold of all("details.fold")) fold.open = false;
      });
    }
  }

  /** Open whatever hides the element that a link names, and go there. */
  function reveal(hash) {
    const target = document.getElementById(hash.slice(1));
    if (!target) return;
    if (target.hidden && target.matches(".card")) all("form.controls").forEach((form) => relax(form, target));
    const closed = all("details:not([open])").filter((fold) => fold.contains(target));
    for (const fold of closed) fold.open = true;
    target.scrollIntoView({ behavior: "instant" });
  }

  /** An address is followed when the page opens, when it changes, and when its link is clicked once more. */
  function wireLinks() {
    addEventListener("hashchange", () => reveal(location.hash));
    document.addEventListener("click", (event) => {
      const link = event.target.closest('a[href^="#"]');
      if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) reveal(link.hash);
    });
    reveal(location.hash);
  }

  /** The contents say where the reader is: in the last section that has come into the upper third. */
  function wireContents() {
    const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
    const sections = all("section[id]").filter((section) => links.has(section.id));
    const near = new Set();
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target);
      const here = sections.filter((section) => near.has(section)).at(-1);
      for (const link of links.values()) link.removeAttribute("aria-current");
      if (here) links.get(here.id).setAttribute("aria-current", "true");
    }, { rootMargin: "0px 0px -67% 0px" });
    for (const section of sections) watch.observe(section);
  }

  /** Paper cannot be clicked: everything is open while it is printed. */
  function wirePrint() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = all("details:not([open]):not(.sheet)"); // a gallery's sheets stay as they are: most of them are long
      for (const fold of opened) fold.open = true;
    });
    addEventListener("afterprint", () => {
      for (const fold of opened) fold.open = false;
      opened = [];
    });
  }

  // ---- Tables as CSV ----

  /** Numbers and their intervals: digits, signs, brackets and `to`; no letter else, so that nothing can be run. */
  const NUMBER = /^[+\-−]?\d(?:[\d.,%()[\]+\-−– ]| to )*$/;

  /** One cell as RFC 4180 has it. What a spreadsheet would run as a formula begins with an apostrophe. */
  function field(text) {
    const plain = text.trim().replace(/\s+/g, " ");
    const safe = (/^[=+\-@＝＋－＠]/.test(plain) || /^[\t\r\n]/.test(text)) && !NUMBER.test(plain) ? `'${plain}` : plain;
    return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  const csvOf = (table) =>
    [...table.rows].map((row) => `${[...row.cells].map((cell) => field(cell.textContent)).join(",")}\r\n`).join("");

  /** Copy a text; where the browser refuses, show it selected. Returns what to say. */
  async function copy(text, beside) {
    try {
      await navigator.clipboard.writeText(text);
      return "Copied";
    } catch {
      // Pages opened from a disk may have no clipboard: the older way first, then the reader's own hand.
      const box = make("textarea", "copied");
      box.value = text;
      box.readOnly = true;
      box.setAttribute("aria-label", "The table as CSV");
      beside.after(box);
      box.select();
      if (document.execCommand("copy")) {
        box.remove();
        beside.focus();
        return "Copied";
      }
      box.addEventListener("blur", () => box.remove());
      return "Press Ctrl+C to copy";
    }
  }

  function wireTables() {
    for (const table of all(".scroll > table")) {
      const button = make("button", "copy", "Copy as CSV");
      button.type = "button";
      button.addEventListener("click", async () => {
        button.textContent = await copy(csvOf(table), button);
        setTimeout(() => { button.textContent = "Copy as CSV"; }, 2500);
      });
      table.after(button);
    }
  }

  // ---- Which experiments the charts show ----

  const drawnOf = (name) =>
    all(".chart [data-experiment], .legend [data-experiment]").filter((one) => one.dataset.experiment === name);

  /** Show or hide all that is of an experiment. */
  function choose(name, on) {
    for (const one of drawnOf(name)) {
      one.removeAttribute("display");
      one.classList.remove("other");
      one.classList.toggle("unchosen", !on);
    }
    all("figure.figure").forEach(sayIfVacant);
  }

  /** A figure of whose experiments none is chosen says so, and why it is pale. */
  function sayIfVacant(figure) {
    const owned = all(".chart [data-experiment]", figure);
    const vacant = owned.some((one) => one.matches(".unchosen")) && owned.every((one) => one.matches(".unchosen, .other"));
    figure.classList.toggle("vacant", vacant);
    if (!vacant) figure.querySelector(".nobody")?.remove();
    else if (!figure.querySelector(".nobody")) figure.prepend(make("p", "nobody", "None of the chosen experiments is in this figure."));
  }

  /** The experiments of the legends, in their order, each with its key. */
  function legendKeys() {
    const keys = new Map();
    for (const item of all(".legend [data-experiment]")) {
      if (!keys.has(item.dataset.experiment)) keys.set(item.dataset.experiment, item.querySelector(".key"));
    }
    return keys;
  }

  /** Half a tick: shown in some charts, and in others only once it is asked for. */
  const isPartly = (name) => drawnOf(name).some((one) => one.matches(".other"));

  function wireChooser() {
    const keys = legendKeys();
    if (keys.size < 2) return;
    for (const chooser of all(".chooser")) {
      const group = make("fieldset");
      group.append(make("legend", "", "Experiments in the charts"));
      for (const [name, key] of keys) {
        const label = make("label");
        const box = make("input");
        box.type = "checkbox";
        box.value = name;
        box.indeterminate = isPartly(name);
        box.checked = !box.indeterminate;
        label.append(box, ...(key ? [key.cloneNode()] : []), name);
        group.append(label);
      }
      const every = make("button", "every", "Show all");
      every.type = "button";
      every.addEventListener("click", () => setBoxes((box) => !box.checked, true));
      group.append(every);
      group.addEventListener("change", ({ target }) => setBoxes((box) => box.value === target.value, target.checked));
      const half = make("p", "half", "Half a tick: drawn in some charts alone. Tick it to see it in all.");
      half.hidden = ![...keys.keys()].some(isPartly);
      group.append(half);
      chooser.replaceChildren(group);
      chooser.hidden = false;
    }
  }

  /** Set some boxes, in every chooser; at least one experiment stays. */
  function setBoxes(isMeant, on) {
    const boxes = all(".chooser input");
    const names = new Set(boxes.filter(isMeant).map((box) => box.value));
    for (const box of boxes.filter((one) => names.has(one.value))) {
      box.indeterminate = false;
      box.checked = on;
    }
    for (const name of names) choose(name, on);
    for (const half of all(".chooser .half")) half.hidden = !boxes.some((box) => box.indeterminate);
    const left = new Set(boxes.filter((box) => box.checked || box.indeterminate).map((box) => box.value));
    for (const box of boxes) box.disabled = left.size === 1 && left.has(box.value);
  }

  // ---- Gallery ----

  /** Set a form back to what its HTML says, whatever its controls are called. */
  const resetForm = (form) => HTMLFormElement.prototype.reset.call(form);

  /** Take back the filters that hide a card, and no other. */
  function relax(form, card) {
    if (!(form.closest("section") ?? document.body).contains(card)) return;
    for (const name of FILTERS) {
      const control = form.elements.namedItem(name);
      if (control?.value && control.value !== card.dataset[name]) control.value = "";
    }
    form.dispatchEvent(new Event("input"));
  }

  function wireGallery(form) {
    const scope = form.closest("section") ?? document.body;
    const galleries = all(".gallery", scope);
    const cards = all(".card", scope).map((card) => ({ card, home: card.parentElement }));
    const folds = all("details", scope).filter((fold) => fold.querySelector(".card"));
    const held = folds.map((fold) => ({ fold, open: fold.open, cards: all(".card", fold) }));
    const flat = make("div", "maps flat");
    galleries.at(-1)?.append(flat);
    const control = (name) => form.elements.namedItem(name);
    const update = (isAsked) => {
      const wanted = FILTERS.map((name) => [name, control(name)?.value]).filter(([, value]) => value);
      for (const { card } of cards) card.hidden = wanted.some(([name, value]) => card.dataset[name] !== value);
      sort(cards, control("sort")?.value || "order", flat);
      for (const one of held) {
        const shown = one.cards.some((card) => !card.hidden && one.fold.contains(card));
        one.fold.hidden = !shown;
        if (isAsked) one.fold.open ||= wanted.length > 0 && shown;
      }
      for (const gallery of galleries) look(gallery, control);
      const shown = cards.filter(({ card }) => !card.hidden).length;
      for (const output of all("output.count", form)) output.textContent = `${shown} of ${cards.length} maps`;
    };
    form.addEventListener("input", ({ target }) => update([...FILTERS, "sort"].includes(target.name)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => { // the values change after the event
      for (const one of held) one.fold.open = one.open;
      update(false);
    }));
    for (const button of all("button[name=reset]:not([type=reset])", form)) {
      button.addEventListener("click", () => resetForm(form));
    }
    form.hidden = false;
    update(false);
  }

  /** By place, each card at home; by a number, all in one list, those without it (an unknown age) last. */
  function sort(cards, by, flat) {
    const sign = DOWNWARDS.includes(by) ? -1 : 1;
    const key = ({ card }) => (card.dataset[by] ? sign * Number(card.dataset[by]) : Infinity);
    const place = ({ card }) => Number(card.dataset.order);
    const order = (one, other) => (key(one) === key(other) ? place(one) - place(other) : key(one) - key(other));
    for (const { card, home } of [...cards].sort(order)) (by === "order" ? home : flat).append(card);
  }

  /** Which layers lie over the films, and how strong the heat is. */
  function look(gallery, control) {
    for (const layer of LAYERS) gallery.classList.toggle(`no-${layer}`, control(layer)?.checked === false);
    const opacity = control("opacity");
    if (opacity) gallery.style.setProperty("--opacity", opacity.value / 100);
  }

  function start() {
    wireTheme();
    wireFold();
    wirePrint();
    wireTables();
    wireChooser();
    all("form.controls").forEach(wireGallery);
    wireContents();
    wireLinks();
  }

  whenRead(start);
})();
