// Elements from words. Everything from data goes in as text: no markup is ever read from an answer.

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const by = (id) => document.getElementById(id);

// Replaces what an element holds only where it differs, so that focus stays and nothing flickers.
export function put(element, ...children) {
  const before = [...element.childNodes];
  children.forEach((given, index) => {
    const child = typeof given === "string" ? document.createTextNode(given) : given;
    const old = before[index];
    if (old === undefined) element.append(child);
    else if (!old.isEqualNode(child) && !old.contains(document.activeElement)) old.replaceWith(child);
    else if (!old.isEqualNode(child)) update(old, child);
  });
  before.slice(children.length).forEach((old) => old.remove());
}

// The focus is inside: change what is around it, part by part.
function update(old, child) {
  if (old.nodeType !== Node.ELEMENT_NODE || old.tagName !== child.tagName || old === document.activeElement) {
    if (old.textContent !== child.textContent) old.textContent = child.textContent;
    return;
  }
  for (const { name, value } of child.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  put(old, ...child.childNodes);
}

export function option(value, text) {
  return make("option", { value }, text);
}

// Gives a file to whoever looks at the page; its bytes are let go once any browser has them.
export function save({ name, content }) {
  const address = URL.createObjectURL(content);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export function spark(values) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(1, ...values);
  const step = values.length > 1 ? 100 / (values.length - 1) : 0;
  const path = document.createElementNS(space, "path");
  const at = (value, index) => `${(index * step).toFixed(1)} ${(19 - (18 * value) / most).toFixed(1)}`;
  path.setAttribute("d", values.length ? `M${values.map(at).join("L")}` : "");
  svg.append(path);
  return svg;
}
