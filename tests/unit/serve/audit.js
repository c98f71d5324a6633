"use strict";
// What an audit for accessibility asks (WCAG 2.2: 1.1.1, 1.3.1, 2.4.1, 2.4.2, 3.1.1, 4.1.2).
window.audit = (() => {
  const wrong = [];
  const name = e => (e.getAttribute('aria-label') || '').trim()
    || (e.getAttribute('aria-labelledby') || '').split(' ').map(i => document.getElementById(i)
      ?.textContent || '').join('').trim()
    || (e.labels && [...e.labels].map(l => l.textContent).join('').trim())
    || e.textContent.trim();
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push('twice: ' + id);
  for (const e of document.querySelectorAll('a[href], button, input, summary, [role], [tabindex="0"]'))
    if (!name(e) && e.getAttribute('role') !== 'status') wrong.push('no name: ' + e.outerHTML.slice(0, 90));
  for (const e of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(e.getAttribute('href').slice(1))) wrong.push('nowhere: ' + e.getAttribute('href'));
  for (const e of document.querySelectorAll('svg'))
    if (!e.closest('[aria-hidden=true]') && !(e.getAttribute('role') && name(e))) wrong.push('picture: ' + e.outerHTML.slice(0, 90));
  for (const e of document.querySelectorAll('table'))
    if ([...e.querySelectorAll('th')].some(h => !h.scope)) wrong.push('a heading of a table without scope');
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
    for (const i of (e.getAttribute('aria-labelledby') || e.getAttribute('aria-describedby')).split(' '))
      if (!document.getElementById(i)) wrong.push('no label ' + i);
  const levels = [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1]);
  if (levels.filter(l => l === 1).length !== 1) wrong.push('headings of level 1');
  levels.forEach((l, n) => { if (n && l > levels[n - 1] + 1) wrong.push('a level is left out: ' + l); });
  if (!document.documentElement.lang || !document.title) wrong.push('language or title');
  if (document.querySelectorAll('main').length !== 1) wrong.push('main');
  return wrong;
});

// The smallest contrast of all text that is seen (WCAG 2.2, 1.4.3), and where it is.
window.leastContrast = (() => {
  const part = c => { c /= 255; return c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
  const lum = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const rgb = t => t.match(/[\d.]+/g).map(Number);
  let least = [99, ''];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg, .unseen, .skip, [hidden], details:not([open]) > :not(summary)')) continue;
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length) continue;
    let back = e, ground;
    do { ground = rgb(getComputedStyle(back).backgroundColor); back = back.parentElement; }
    while (back && ground.length > 3 && ground[3] === 0);
    const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(ground)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < least[0]) least = [ratio, e.outerHTML.slice(0, 120)];
  }
  return least;
});
