// Distances or similarities of the experts: one of the two is shown in the card. Both have the buttons,
// each with its own pressed.
(() => {
  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-measure]:is(button)');
    const card = button?.closest('.se-chart');
    if (!card || button.getAttribute('aria-pressed') === 'true') return;
    card.dataset.measured = button.dataset.measure;
    card.querySelector(`[data-measure="${button.dataset.measure}"][aria-pressed="true"]`)?.focus();
    const plot = card.querySelector('.js-plotly-plot'); // drawn while it had no width
    if (plot?.checkVisibility()) window.Plotly?.Plots.resize(plot);
  });
})();
