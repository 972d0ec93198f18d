// What the scripts of a page share; they are joined behind it.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** A new element; text is never read as HTML. */
function make(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}

/** Start once the whole page is read. */
function whenRead(start) {
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
}
