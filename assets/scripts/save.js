// Saves a chart, or a drawing of the page's own, as a picture of a slide's size, PNG or SVG: dark on
// white in either theme, with the heading and the legend in it, or what a drawing says of itself.
(() => {
  const SIZE = {width: 960, height: 540, scale: 2}; // 1920 x 1080
  const SIGNS = { // class of a legend's sign -> how it looks in the chart, and its colour there
    after: ['■', '#0072B2'], rest: ['■', '#9AA3B0'], before: ['┃', '#D55E00'],
    se: ['●', '#0072B2'], static: ['◆', '#D55E00'], base: ['○', '#9AA3B0'], expert: ['┃', '#16181D'],
    exact: ['○', '#16181D'], other: ['□', '#9AA3B0'],
  };

  const FAILED = '<p class="se-failure" role="alert">The picture could not be made; try again in a moment.</p>';

  const literal = text => text.replace(/[&<>]/g, sign => `&#${sign.codePointAt(0)};`);

  function legend(card) {
    return [...card.querySelectorAll('.se-legend > span')].map(key => {
      const [sign, colour] = SIGNS[key.querySelector('i')?.className] ?? ['', ''];
      return `<span style="color:${colour}">${sign}</span> ${literal(key.textContent.trim())}`;
    }).join('     ');
  }

  // fails where the chart is not drawn yet, or the browser can't make the picture
  async function picture(button) {
    const plot = document.querySelector(`#${button.dataset.save} .js-plotly-plot`);
    const card = button.closest('.se-chart');
    const layout = structuredClone(plot.layout);
    for (const name of Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key))) {
      delete layout[name].tickfont;
      delete layout[name].title?.font;
    }
    delete layout.legend?.font;
    layout.title = {
      text: `<b>${literal(card.querySelector('h3').textContent)}</b>`,
      subtitle: {text: legend(card), font: {size: 16}},
      x: 0, xref: 'paper', xanchor: 'left', y: 0.97, yref: 'container', yanchor: 'top', font: {size: 24},
    };
    // a font that every machine has, so that the picture needs no file beside it
    layout.font = {...layout.font, family: 'Arial, Helvetica, sans-serif', size: 16};
    // a legend of plotly's own stands where the chart begins
    layout.margin = {...layout.margin, l: 40, r: 40, t: layout.showlegend ? 132 : 96, b: 56};
    layout.paper_bgcolor = layout.plot_bgcolor = 'white';
    delete layout.height;
    const format = button.dataset.as ?? 'png';
    await window.Plotly.downloadImage({data: plot.data, layout},
      {...SIZE, format, filename: button.dataset.save});
  }

  async function save(button) {
    const head = button.closest('.se-chart-head');
    head.parentElement.querySelector('.se-failure')?.remove();
    try {
      await picture(button);
    } catch {
      head.insertAdjacentHTML('afterend', FAILED);
    }
  }

  // ---- the picture of a Result, and the map: PNG, with what it is about and the date in it
  const PAINT = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linecap',
    'stroke-linejoin', 'opacity', 'display', 'font-size', 'font-weight'];
  const FACE = 'font-family="Arial, Helvetica, sans-serif"';
  const NAMESPACE = 'http://www.w3.org/2000/svg';

  // the drawing as it is at its end and on a light page, with all that style sheets say in itself
  function painted(figure) {
    const ghost = figure.cloneNode(true), dark = semerge.dark();
    delete ghost.dataset.stage;
    ghost.classList.add('se-ghost');
    figure.after(ghost);
    document.body.classList.remove('dark');
    const svg = ghost.querySelector('svg[role=img]');
    for (const node of svg.querySelectorAll(':not(defs *, title)')) {
      const style = getComputedStyle(node);
      node.setAttribute('style', PAINT.map(name => `${name}:${style.getPropertyValue(name)}`).join(';'));
    }
    document.body.classList.toggle('dark', dark);
    ghost.remove();
    svg.querySelectorAll('[style*="display:none"], title').forEach(node => node.remove());
    return svg;
  }

  // local, as whoever saves it reads the clock
  const today = () => new Date().toLocaleDateString('sv');

  function slide(figure) {
    const svg = painted(figure), {title, about, said} = figure.dataset;
    for (const [name, value] of [['x', 40], ['y', 96], ['width', SIZE.width - 80], ['height', 396]])
      svg.setAttribute(name, value);
    svg.setAttribute('xmlns', NAMESPACE);
    const line = (y, size, text, weight = 400) =>
      `<text x="40" y="${y}" ${FACE} font-size="${size}" font-weight="${weight}" fill="#16181d">${literal(text)}</text>`;
    const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
    return `<svg xmlns="${NAMESPACE}" width="${2 * SIZE.width}" height="${2 * SIZE.height}" viewBox="0 0 ${SIZE.width} ${SIZE.height}">`
      + `<rect width="100%" height="100%" fill="white"/>${line(46, 24, cut(title, 64), 700)}${line(74, 15, cut(`${today()}. ${about}`, 125))}`
      + `<g ${FACE}>${new XMLSerializer().serializeToString(svg)}</g>${line(522, 13, cut(said, 145))}</svg>`;
  }

  async function saveDrawing(button) {
    const figure = button.closest('figure');
    figure.querySelector('.se-failure')?.remove();
    try {
      const image = new Image();
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(slide(figure))}`;
      await image.decode();
      const canvas = Object.assign(document.createElement('canvas'), {width: 2 * SIZE.width, height: 2 * SIZE.height});
      canvas.getContext('2d').drawImage(image, 0, 0);
      const blob = await new Promise(done => { canvas.toBlob(done, 'image/png'); });
      const link = document.createElement('a');
      link.href = URL.createObjectURL(blob);
      link.download = `${figure.dataset.file}-${today()}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch {
      button.parentElement.insertAdjacentHTML('afterend', FAILED);
    }
  }

  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-save], [data-picture]');
    if (button) (button.dataset.save ? save : saveDrawing)(button);
  });
})();
