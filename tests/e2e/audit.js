// Faults of accessibility of a page, by the rules of WCAG 2 that a program can check. Returns one text per fault.
(() => {
  const faults = [];
  const shown = (item) => item.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const name = (item) => `<${item.tagName.toLowerCase()} class="${item.getAttribute("class") ?? ""}"> ${item.textContent.trim().slice(0, 40)}`;

  const colour = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    return [parts[0], parts[1], parts[2], parts[3] ?? 1];
  };
  const over = (front, back) => front.slice(0, 3).map((part, n) => part * front[3] + back[n] * (1 - front[3]));
  const behind = (item) => {
    const layers = [];
    for (let at = item; at; at = at.parentElement) {
      layers.push(colour(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) { break; }
    }
    return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const item of document.body.querySelectorAll("*")) {
    const own = [...item.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !shown(item)) { continue; }
    const style = getComputedStyle(item), back = behind(item);
    const pair = [light(over(colour(style.color), back)), light(back)].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) { faults.push(`contrast ${ratio.toFixed(2)}: ${name(item)}`); }
  }

  const labelled = (item) => item.getAttribute("aria-label")?.trim() || document.getElementById(item.getAttribute("aria-labelledby"))?.textContent.trim();
  for (const item of document.querySelectorAll("input, select, textarea, progress, meter")) {
    if (shown(item) && !labelled(item) && ![...(item.labels ?? [])].some((label) => label.textContent.trim())) { faults.push(`no label: ${name(item)}`); }
  }
  for (const item of document.querySelectorAll("a, button, summary, h1, h2, h3, th")) {
    if (!item.textContent.trim() && !labelled(item)) { faults.push(`no name: ${name(item)}`); }
  }
  for (const item of document.querySelectorAll("img, svg")) {
    if (item.getAttribute("aria-hidden") !== "true" && !item.getAttribute("alt") && !labelled(item)) { faults.push(`no text instead: ${name(item)}`); }
  }
  for (const item of document.querySelectorAll("section, [aria-labelledby]")) {
    if (!labelled(item)) { faults.push(`labelled by nothing: ${name(item)}`); }
  }
  for (const item of document.querySelectorAll("th:not([scope])")) { faults.push(`no scope: ${name(item)}`); }
  for (const item of document.querySelectorAll("pre, .scroll")) {
    if (item.scrollWidth > item.clientWidth + 1 && item.tabIndex < 0 && !item.querySelector("a, button, [tabindex]")) { faults.push(`scrolls, without focus: ${name(item)}`); }
  }
  const ids = [...document.querySelectorAll("[id]")].map((item) => item.id);
  ids.filter((id, n) => ids.indexOf(id) !== n).forEach((id) => faults.push(`id twice: ${id}`));
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((item) => Number(item.tagName[1]));
  levels.forEach((level, n) => { if (level > (levels[n - 1] ?? 0) + 1) { faults.push(`heading ${level} after ${levels[n - 1]}`); } });
  if (levels.filter((level) => level === 1).length !== 1) { faults.push("not one h1"); }
  if (document.querySelectorAll("main").length !== 1) { faults.push("not one main"); }
  if (!document.documentElement.lang) { faults.push("no language"); }
  if (!document.title.trim()) { faults.push("no title"); }
  if (document.documentElement.scrollWidth > innerWidth + 1) { faults.push(`wider than the window: ${document.documentElement.scrollWidth}`); }
  return faults;
})()
