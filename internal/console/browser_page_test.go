//go:build browser

package console

import (
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const focusOrder = `(() => {
  document.activeElement?.blur();
  getSelection().removeAllRanges();
  window.scrollTo(0, 0);
  const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
    .filter(e => !e.disabled && e.checkVisibility({ visibilityProperty: true }) && (!e.closest('details:not([open])') || e.localName === 'summary'));
  all.forEach((e, i) => { e.dataset.order = i + ' ' + e.localName + ' ' + (e.name || e.textContent.trim()).slice(0, 30); });
  // Where the walk begins: before the first.
  const start = document.createElement('span');
  start.tabIndex = -1;
  document.body.prepend(start);
  start.focus();
  start.remove();
  return all.map(e => e.dataset.order);
})()`

const focused = `(() => {
  const e = document.activeElement, style = getComputedStyle(e);
  if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) return 'no outline at ' + e.dataset.order;
  return e.dataset.order ?? e.localName;
})()`

// faultsOfPage lists what makes a page inaccessible: WCAG 2.2, 1.3.1, 1.4.3, 1.4.10,
// 2.4.6, 3.3.2, 4.1.2.
const faultsOfPage = `(() => {
  const faults = [];
  const name = e => (e.getAttribute('aria-label') || e.textContent).trim();
  const say = e => e.localName + (e.id ? '#' + e.id : '') + ' ' + JSON.stringify((e.textContent || e.name || '').trim().slice(0, 40));

  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    const labels = [...(e.labels ?? [])].map(l => l.textContent.trim()).join('');
    if (!labels && !e.getAttribute('aria-label')) faults.push('no label: ' + say(e));
    for (const id of (e.getAttribute('aria-describedby') ?? '').split(' ')) {
      if (id && !document.getElementById(id)) faults.push('described by nothing: ' + say(e));
    }
  }
  for (const e of document.querySelectorAll('button, a[href], summary')) if (!name(e) && !e.querySelector('img[alt]:not([alt=""])')) faults.push('no name: ' + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll('img:not([alt])')) faults.push('no alt: ' + e.src);
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) faults.push('twice: #' + id);

  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.localName[1]);
  if (levels.filter(l => l === 1).length !== 1 || levels[0] !== 1) faults.push('not one h1, and first: ' + levels);
  levels.forEach((l, i) => { if (i && l > levels[i - 1] + 1) faults.push('a heading skips a level: ' + levels); });
  if (document.querySelectorAll('main').length !== 1) faults.push('not one main');
  if (!document.title.trim()) faults.push('no title');
  if (document.documentElement.scrollWidth > window.innerWidth) {
    const wide = [...document.querySelectorAll('main *, header *, footer *')].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1);
    faults.push('wider than the screen: ' + document.documentElement.scrollWidth + ', ' + wide.slice(0, 3).map(say));
  }

  const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith('color(srgb') ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) { layers.push(parse(getComputedStyle(at).backgroundColor)); if (layers.at(-1)[3] === 1) break; }
    return layers.reverse().reduce((under, top) => over(top, under), matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || seen.has(e) || !e.checkVisibility({ visibilityProperty: true }) || ['SCRIPT', 'NOSCRIPT', 'OPTION'].includes(e.tagName)) continue;
    seen.add(e);
    const style = getComputedStyle(e), under = ground(e), ink = over(parse(style.color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), big = size >= 24 || size >= 18.66 && +style.fontWeight >= 700;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (big ? 3 : 4.5)) faults.push('contrast ' + ratio.toFixed(2) + ': ' + say(e));
  }
  return faults;
})()`

// walkByTab presses Tab from the top: the focus visits every element that can have
// it, in the order of the page, and is visible.
func (b *tab) walkByTab(name string) {
	b.t.Helper()
	want, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](focusOrder))
	if err != nil {
		b.t.Fatal(err)
	}
	for i, element := range want {
		b.do("pressing Tab", chromedp.KeyEvent(kb.Tab))
		got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](focused))
		if err != nil {
			b.t.Fatal(err)
		}
		if got != element {
			b.t.Errorf("%s %s: Tab %d is at %q, want %q", b.name, name, i+1, got, element)
			return
		}
	}
}
