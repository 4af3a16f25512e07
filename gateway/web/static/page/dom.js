// Elements from what strangers wrote: text goes in as textContent, and nothing else does.

export const byId = (id) => document.getElementById(id);

export function element(tag, classes = '', text = '', attributes = {}) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export function avatar(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return element('span', `avatar c${sum % 8}`, [...name.trim()][0]?.toUpperCase() ?? '?', { 'aria-hidden': 'true' });
}

/** Calls `work` once, soon, however often it is asked for meanwhile. It also works in a hidden tab. */
export function soon(work, afterMs = 0) {
  let timer = null;
  return () => (timer ??= setTimeout(() => { timer = null; work(); }, afterMs));
}

export const remember = {
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(`chat-page:${name}`));
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`chat-page:${name}`, JSON.stringify(value));
    } catch {} // it is full, or forbidden
  },
};
