"""Plots of a sample as PNG and SVG, for talks and papers: its size spectrum and the abundance of its taxa.

The same rows give the same bytes with the same version of Matplotlib, which is only loaded where it draws.
"""

import re
from math import ceil, floor, log10, pi

from plankton_keras.ecology.abundance import TOTAL
from plankton_keras.files import whole_file
from plankton_keras.spectrum_drawing import fitted_line, middle_of

# Okabe and Ito's blue and vermilion, which colour-blind people tell apart, and gray.
BLUE, RED, GRAY = "#0072B2", "#D55E00", "#777777"
# Rows of more taxa than this cannot be read; longer names are cut.
MOST_TAXA, MOST_LETTERS = 40, 40
DIAMETERS = [digit * 10.0**power for power in range(-4, 4) for digit in (1, 2, 5)]
STYLE = {
    # Ids of an SVG are random without a salt.
    "svg.hashsalt": "plankton_keras",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.spines.right": False,
    "axes.spines.top": False,
}
# XML forbids them, even escaped.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
FORMATS = {"png": {"dpi": 200}, "svg": {"metadata": {"Date": None}}}


def plot_spectrum(stem, rows, slopes, title):
    """Plots a size spectrum with intervals and its line.

    Args:
        stem: Path without suffix; `.png` and `.svg` appear whole or not at all.
        rows: Rows of spectra.csv as dictionaries, of one sample, model and convention.
        slopes: Rows of slopes.csv likewise.
        title: Text above the plot.

    Returns:
        The two paths; none without an object.
    """
    seen = [row for row in rows if row["nbss"] > 0]
    if not seen:
        return []
    fit = next((row for row in slopes if row["method"] == "least squares"), None)
    with _style():
        figure, axes = _figure(6.4, 4.8)
        axes.set(xscale="log", yscale="log", xlabel="volume of an animal (mm³)")
        axes.set_title(_plain(title), wrap=True)
        axes.set_ylabel("normalised biovolume (mm³ m⁻³ mm⁻³)")
        lowest = min(row["nbss"] for row in seen) / 10
        middles, ends = [middle_of(row) for row in seen], [(row["low"] or 0, row["high"]) for row in seen]
        axes.vlines(middles, [max(low, lowest) for low, _ in ends], [high for _, high in ends], BLUE, linewidth=1)
        for used, fill, label in ((True, BLUE, "in the fit"), (False, "white", "left out of the fit")):
            mine = [(middle_of(row), row["nbss"]) for row in seen if row["used"] == used]
            if mine:
                axes.plot(*zip(*mine, strict=True), "o", color=BLUE, markerfacecolor=fill, label=label)
        line = fitted_line(rows, fit)
        if line:
            said = f"slope {fit['slope']:.2f} ({fit['low']:.2f} to {fit['high']:.2f})".replace("-", "\N{MINUS SIGN}")
            axes.plot(*zip(*line, strict=True), color=RED, label=said)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        upper = axes.secondary_xaxis("top", functions=(_diameter, _volume))
        upper.set_xlabel("equivalent spherical diameter (mm)")
        upper.set_xticks(DIAMETERS, [f"{each:g}" for each in DIAMETERS])
        upper.set_xticks([], minor=True)
        return _save(figure, stem)


def _diameter(volume):
    return (6 / pi * volume) ** (1 / 3)


def _volume(diameter):
    return pi / 6 * diameter**3


def plot_abundance(stem, rows, title):
    """Plots the abundance of the taxa that were found, with intervals, the most abundant on top.

    Args:
        stem: As of `plot_spectrum`.
        rows: Rows of abundance.csv as dictionaries, of one sample.
        title: Text above the plot.

    Returns:
        The two paths; none without an object.
    """
    known = [row for row in rows if row["unit"] == "ind/m3" and row["objects"]]
    if not known:
        return []
    known.sort(key=lambda row: (row["taxon"] == TOTAL, row["value"]))
    # The last one is all living together.
    shown = known[-MOST_TAXA - 1 :]
    left_out = len(known) - len(shown)
    places = range(len(shown))
    labels = [f"{_label(row['taxon'])} ({row['objects']:,})" for row in shown]
    with _style():
        # Letters are some 0.09 inches wide.
        figure, axes = _figure(4.5 + 0.09 * max(map(len, labels)), 1.6 + 0.27 * len(shown))
        colors = [GRAY if row["taxon"] == TOTAL else BLUE for row in shown]
        lowest = min(row["value"] for row in shown) / 10
        lows, highs = [max(row["low"], lowest) for row in shown], [row["high"] for row in shown]
        axes.hlines(places, lows, highs, colors, linewidth=2)
        axes.scatter([row["value"] for row in shown], places, color=colors, zorder=3, label="objects as named")
        expected = [(row["expected"], place) for place, row in enumerate(shown) if row["expected"]]
        if expected:
            axes.scatter(
                *zip(*expected, strict=True), marker="|", s=90, color="black", zorder=4, label="by probabilities"
            )
        adjusted = [(place, row) for place, row in enumerate(shown) if row["adjusted"] is not None]
        if adjusted:
            highs += _draw_adjusted(axes, adjusted, lowest)
        if expected or adjusted:
            figure.legend(loc="outside lower center", ncols=3, frameon=False)
        axes.set_yticks(places, labels)
        axes.set(xscale="log", xlabel="abundance (ind m⁻³), 95 % interval")
        axes.set_title(_plain(title), wrap=True)
        known = [*lows, *highs, *(row["value"] for row in shown)]
        axes.set_xlim(10.0 ** floor(log10(min(known))), 10.0 ** ceil(log10(max(known))))
        if left_out:
            axes.set_ylabel(f"{left_out} rarer taxa are not shown")
        axes.set_ylim(-0.7, len(shown) - 0.3)
        return _save(figure, stem)


def _draw_adjusted(axes, rows, lowest):
    """Draws adjusted numbers below the raw ones; gives their upper ends."""
    below, rows = zip(*((place - 0.25, row) for place, row in rows), strict=True)
    # What is adjusted to nothing has no place on this axis.
    lows, highs = ([max(row[f"adjusted_{end}"], lowest) for row in rows] for end in ("low", "high"))
    axes.hlines(below, lows, highs, RED, linewidth=1, label="adjusted for confusion")
    seen = [(row["adjusted"], place) for place, row in zip(below, rows, strict=True) if row["adjusted"] >= lowest]
    if seen:
        axes.scatter(*zip(*seen, strict=True), s=16, color=RED, zorder=3)
    return highs


def _label(name):
    return _plain(name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…")


def _plain(text):
    """Keeps Matplotlib from reading a formula between two dollars, and from writing what no SVG can hold."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text).replace("$", r"\$")


def _style():
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _figure(width, height):
    # Without pyplot there is no window, no display and nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure, stem):
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in FORMATS]
    for path, (kind, settings) in zip(paths, FORMATS.items(), strict=True):
        with whole_file(path) as partial:
            figure.savefig(partial, format=kind, **settings)
    return paths
