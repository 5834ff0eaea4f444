// A page whose main part changes by itself, until it says that it is done. Without
// this script the page loads itself again.
'use strict';

const part = document.querySelector('[data-follow]');

async function look() {
  let page;
  try {
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
    page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  } catch {
    setTimeout(look, 3000); // the network is away for a moment
    return;
  }
  const next = page.querySelector('[data-follow]');
  if (!next) {
    location.reload();
    return;
  }
  if (next.innerHTML !== part.innerHTML) part.replaceChildren(...document.importNode(next, true).childNodes);
  setTimeout(look, 1000);
}

if (part) setTimeout(look, 1000);
