"""Body-order ablation: energies of gold-like clusters from Wigner kernels of increasing order, their squares, and SOAP.

    python workflows/wigner/body_order.py [OUT]                                              # the shipped 300 clusters
    python workflows/wigner/body_order.py [OUT] --data FILE --train 50 100 200 500 1000 --test 300
    python workflows/wigner/body_order.py [OUT] --max-l 0                                           # without angles

After Fig. 1 of Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), whose curves are mixtures of all orders
up to nu (here "ν ≤ 4") and the square of such a mixture; single orders ("ν = 4") stand beside them. All kernels share
the splits. Width and growth of the Gaussians have the smallest cross-validated error on some clusters of the training
pool, once for each of three families (geometric mean over its kernels): single orders, mixtures, SOAP. Mixture, scale
and power of every kernel are chosen inside each training set. Ends with exit code 1 if an ordering does not hold that
must.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

from hamlearn.config import KernelSettings
from hamlearn.kernels import EnvironmentKernel
from hamlearn.learning.mixture import MixtureSearch
from hamlearn.observables import average_orders, final_slope
from hamlearn.plots import learning_curve
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, GREY, INK, PURPLE, VERMILION, add_legend
from hamlearn.regression.folds import fold_indices
from hamlearn.regression.full import RegularisedKernel
from hamlearn.report.figures import Drawing
from hamlearn.structures import read_structures, split, training_orders

SHIPPED = Path(__file__).parents[2] / "data" / "gold_clusters.extxyz"
KCAL_PER_EV = 23.060548
LOOKS = {2: (GREY, "v"), 3: (GREEN, "s"), 4: (BLUE, "o"), 6: (PURPLE, "D")}  # by order
ALONE, UP_TO = ({nu: f"ν {sign} {nu}" for nu in LOOKS} for sign in "=≤")
SQUARE, MIXED_SQUARE, SOAP = "(ν = 2)²", "(ν ≤ 2)²", "SOAP-GPR"
GAUSSIANS = tuple(itertools.product((0.3, 0.6), (1.0, 2.5)))  # C and r0 of the width C exp(r / r0), Å
CHOSEN_ON = 50  # clusters
POOL = 1.1  # clusters to draw from, as a multiple of the largest training set, so that these differ too
FOLDS = 10
LOG10_A, LOG10_C0 = range(13), (3.0, 7.0)
ONE_KERNEL = (LOG10_A, (1.0,), LOG10_C0)
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)  # b
MIXTURE = (LOG10_A[1:11], RATES, LOG10_C0)
ROWS_AT_ONCE = 50


class Pairs:
    """Environments of two sets of clusters, made of densities of one kind (C, r0, l_max), and kernels between them."""

    def __init__(self, density, fitted_on, rows, columns):
        self.density, self.rows, self.columns = density, rows, columns
        self.fitted = EnvironmentKernel(self._settings()).fit(fitted_on)
        self.left = self.fitted.environments(rows)
        self.right = self.left if columns is rows else self.fitted.environments(columns)

    def between(self, **kind):
        """Return the parts of a kernel summed over atoms [part, rows, columns]."""
        return EnvironmentKernel(self._settings(**kind)).between(self.left, self.right)

    def products(self):
        """Return sum_ij k^a k^b of single environments for a <= b in 0, 1, 2 [6, rows, columns]."""
        kernel = EnvironmentKernel(self._settings(max_nu=2))
        starts = [np.cumsum([0, *map(len, side[:-1])]) for side in (self.rows, self.columns)]
        tiles = []
        for first in range(0, len(self.rows), ROWS_AT_ONCE):
            chunk = slice(first, first + ROWS_AT_ONCE)
            (orders,) = kernel.environment_matrix(self.fitted.environments(self.rows[chunk]), self.right).values()
            top = starts[0][chunk] - starts[0][first]
            pairs = itertools.combinations_with_replacement(orders, 2)
            tiles.append([np.add.reduceat(np.add.reduceat(a * b, top), starts[1], axis=1) for a, b in pairs])
        return np.concatenate(tiles, axis=1)

    def _settings(self, **kind):
        width, growth, max_l = self.density
        lengths = {"smearing_angstrom": width, "smearing_growth_angstrom": growth, "decay_angstrom": growth}
        return KernelSettings(cutoff_angstrom=6.0, max_l=max_l, **lengths, **kind)


def single_orders(pairs):
    """Return k^0 and k^nu, and k^0 and (k^2)^2; this and other families: curve -> kernels to choose among, in parts."""
    orders = pairs.between(max_nu=max(LOOKS))
    squared = pairs.between(kind="order", max_nu=2, zeta=2)
    return {**{ALONE[nu]: [orders[[0, nu]]] for nu in LOOKS}, SQUARE: [squared]}


def mixtures(pairs):
    """Return k^0 ... k^nu, and k^0 and (k^0 + b k^1 + b^2 k^2 / 2)^2 for some b."""
    orders = pairs.between(max_nu=max(LOOKS))
    products = pairs.products()
    twice = [1, 2, 2, 1, 2, 1]  # two different orders meet twice
    mixed = [(1.0, b, b**2 / 2) for b in RATES]
    of_pairs = [[v * w for v, w in itertools.combinations_with_replacement(weights, 2)] for weights in mixed]
    squares = [np.tensordot(np.multiply(twice, weights), products, 1) for weights in of_pairs]
    return {
        **{UP_TO[nu]: [orders[: nu + 1]] for nu in LOOKS},
        MIXED_SQUARE: [np.array([orders[0], square]) for square in squares],
    }


def soap(pairs):
    """Return k^0 and powers of the normalised SOAP kernel."""
    return {SOAP: [pairs.between(kind="soap", zeta=zeta) for zeta in (2, 4)]}


FAMILIES = {"single orders": single_orders, "mixtures": mixtures, "SOAP": soap}


class Energies:
    """Energies in kcal/mol, less the same for every atom and as multiples of their spread, as a training set has it."""

    def __init__(self, clusters):
        self.sizes = np.array([len(atoms) for atoms in clusters])
        self.values = np.array([atoms.info["energy_ev"] for atoms in clusters]) * KCAL_PER_EV

    def scaled(self, train):
        """Return all energies without unit, and the unit."""
        relative = self.values - self.sizes * (self.values[train].sum() / self.sizes[train].sum())
        return relative / relative[train].std(), relative[train].std()


def choose(alternatives, y):
    """Return (cross-validated error, which alternative, weights of its parts), the best there is."""
    order = np.random.default_rng(0).permutation(len(y))
    folds = [order[fold] for fold in fold_indices(len(y), FOLDS)]
    best = [MixtureSearch(k, y, folds).on_grid(MIXTURE if len(k) > 2 else ONE_KERNEL) for k in alternatives]
    which = min(range(len(best)), key=lambda k: best[k].loss)
    return best[which].loss, which, best[which].weights


def choose_density(family, max_l, clusters, energies, chosen_on):
    """Return the density of the smallest cross-validated error of a family on these clusters, and that, kcal/mol."""
    sample = [clusters[k] for k in chosen_on]
    y, unit = energies.scaled(chosen_on)
    errors = {}
    for density in ((*gaussian, max_l) for gaussian in GAUSSIANS):
        found = family(Pairs(density, sample, sample, sample)).values()
        errors[density] = unit * np.exp(np.mean([np.log(choose(k, y[chosen_on])[0]) for k in found]))
    best = min(errors, key=errors.get)
    return best, errors[best]


def one_fit(own, to_test, energies, train, test, position):
    """Return the RMSE on the test set, kcal/mol; alternatives are [part, pool, pool] and [part, test, pool]."""
    y, unit = energies.scaled(train)
    square = np.ix_(position, position)
    _, which, weights = choose([k[:, *square] for k in own], y[train])
    kernel, new = (np.tensordot(weights, k[which], 1) for k in (own, to_test))
    predicted = new[:, position] @ RegularisedKernel(kernel[square], 1.0).weights(y[train, None])[:, 0]
    return float(unit * np.sqrt(np.mean((predicted - y[test]) ** 2)))


def curves(clusters, pool, test, sizes, seeds, max_l):
    """Return the rows of the learning curves, kcal/mol: all kernels for every size and order of the pool."""
    energies = Energies(clusters)
    pool_set, test_set = ([clusters[k] for k in chosen] for chosen in (pool, test))
    rows = {(n, seed): {"n_train": n, "order": seed} for n in sizes for seed in range(seeds)}
    place = np.argsort(pool)
    for title, family in FAMILIES.items():
        density, error = choose_density(family, max_l, clusters, energies, pool[:CHOSEN_ON])
        width = f"{density[0]} exp(r / {density[1]}) Å"
        print(f"{title}: width {width}, cross-validated {error:.2f} kcal/mol", flush=True)
        own = family(Pairs(density, pool_set, pool_set, pool_set))
        to_test = family(Pairs(density, pool_set, test_set, pool_set))
        for seed, order in enumerate(training_orders(pool, seeds, 0)):
            position = place[np.searchsorted(pool, order, sorter=place)]
            for n, name in itertools.product(sizes, own):
                rows[n, seed][name] = one_fit(own[name], to_test[name], energies, order[:n], test, position[:n])
    return list(rows.values())


def statements(rows):
    """Return what the paper says of its clusters: words, whether it holds here, and whether it must."""
    last = {name: average_orders(rows, name)[-1]["mean"] for name in rows[0]}
    slope = {name: final_slope(rows, name) for name in last}
    two, three, four, six = (UP_TO[nu] for nu in LOOKS)
    return [
        ("ν ≤ 2 ends above ν ≤ 3, and ν ≤ 3 above ν ≤ 4", last[two] > last[three] > last[four], True),
        ("ν ≤ 2 saturates: its curve ends flatter than that of ν ≤ 4", slope[two] > slope[four], True),
        ("ν ≤ 6 does not end above ν ≤ 4", last[six] < 1.1 * last[four], True),
        ("ν ≤ 4 ends below SOAP-GPR", last[four] < last[SOAP], True),
        ("ν ≤ 4 and ν ≤ 6 end within 20 % of each other", last[four] < 1.2 * last[six], False),
        ("ν ≤ 4 ends below (ν ≤ 2)²", last[four] < last[MIXED_SQUARE], False),
        ("single orders: ν = 4 ends below (ν = 2)²", last[ALONE[4]] < last[SQUARE], False),
        ("single orders: ν = 4 ends below ν = 2", last[ALONE[4]] < last[ALONE[2]], False),
    ]


def draw(rows, out):
    """Draw both panels beside the table."""
    figure, ((left, right),) = new_panels(1, 2, 11.0, 4.6)
    alone = [(name, name, *LOOKS[nu]) for nu, name in ALONE.items()]
    mixed = [(name, name, *LOOKS[nu]) for nu, name in UP_TO.items()]
    learning_curve(left, rows, [*alone, (SQUARE, SQUARE, VERMILION, "^")], "kcal/mol")
    others = [(MIXED_SQUARE, MIXED_SQUARE, VERMILION, "^"), (SOAP, SOAP, INK, "P")]
    learning_curve(right, rows, [*mixed, *others], "kcal/mol")
    for ax, title in ((left, "one order"), (right, "mixtures of orders")):
        ax.set_title(title)
        add_legend(ax, loc="lower left")
    Drawing("body_order", "", figure, rows).save(out)


def main():
    """Learn, print, draw and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/wigner"))
    parser.add_argument("--data", type=Path, default=SHIPPED, help="clusters as make_clusters.py writes them")
    parser.add_argument("--train", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3, help="orders of the training pool")
    parser.add_argument("--max-l", type=int, default=3, help="0: kernels that see distances but no angles")
    given = parser.parse_args()
    clusters = read_structures(given.data, require=["energy_ev"])
    n_pool = max(max(given.train), min(int(POOL * max(given.train)), len(clusters) - given.test))
    pool, test = split(len(clusters), n_pool, given.test, 0)
    rows = curves(clusters, pool, test, sorted(given.train), given.seeds, given.max_l)
    draw(rows, given.out)
    names = [name for name in rows[0] if name not in ("n_train", "order")]
    print("RMSE, kcal/mol".ljust(16) + "".join(f"{n:>9}" for n in sorted(given.train)) + "    slope")
    for name in names:
        means = "".join(f"{row['mean']:9.3f}" for row in average_orders(rows, name))
        print(f"{name:<16}{means}{final_slope(rows, name):9.2f}")
    found = statements(rows)
    for words, holds, must in found:
        print(f"{'holds' if holds else 'does not hold'}{'' if must else ' (not demanded)'}: {words}")
    if not all(holds for _, holds, must in found if must):
        raise SystemExit("an ordering is broken that holds for these clusters")


if __name__ == "__main__":
    main()
