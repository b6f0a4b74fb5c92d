"""The command lines that make the records a verdict or a section of a page rests on."""

from __future__ import annotations

from hpe_bench import plan
from hpe_bench.declare import Claim, Paper
from hpe_bench.verdicts.pairs import Pair


def cost(paper: Paper) -> str:
    """Counts and times every variant of a paper and of its baselines."""
    return f"hpe-bench reproduce {paper.slug} --scale cost"


def pocket(paper: Paper, protocol: str = "") -> str:
    """Trains the headline's arms in miniature, on the data set of `protocol`."""
    return f"hpe-bench reproduce {paper.slug} --scale pocket{_data(protocol)}"


def study(paper: Paper, name: str, protocol: str = "") -> str:
    """Trains one study's arms."""
    if name == paper.headline.name:
        return pocket(paper, protocol)
    return f"hpe-bench ablate {paper.slug} --study {name}{_data(protocol)}"


def pair(paper: Paper, arms: Pair, protocol: str = "") -> str:
    """Trains the first study that holds both arms."""
    wanted = {arms.subject.name, arms.control.name}
    holding = next((s for s in paper.studies if wanted <= {a.name for a in s.arms}), paper.headline)
    return study(paper, holding.name, protocol)


def full(claim: Claim, paper: Paper) -> tuple[str, str]:
    """What judging a published score of a variant takes, in a sentence, and the command; no command if out of reach."""
    from hpe_bench import protocols

    out_of_reach = {u.name: u for u in (*protocols.UNREACHABLE, *paper.unreachable)}
    if (why := out_of_reach.get(claim.protocol)) is not None:
        return f"Cannot be run: {why.reason} {why.instead}".strip(), ""
    name = claim.protocol.partition("-")[0]
    if not name:
        return "Needs a protocol, which the source does not state.", ""
    if name not in protocols.TRAINED:
        score = f"hpe-bench score <predictions> --protocol {claim.protocol} --root <folder of {name}>"
        return (
            f"Cannot be run: no network is run on {name} here; `{score}` scores predictions, without a verdict.",
            score,
        )
    command = f"hpe-bench reproduce {paper.slug} --scale full --data {name} --root <folder of {name}>"
    weights = f"{command} --weights {claim.variant}=<file>"
    if claim.checkpoint:
        return f"Needs {name} and the released file: `{weights}`.", weights
    if not plan.full_recipes(paper):
        return f"Needs {name}, and released weights: `{weights}`.", weights
    training = command + _trained(claim, paper, name)
    if claim.recipe:
        return f"Needs {name}, and a GPU to train it: `{training}`.", training
    return f"Needs {name}, and released weights: `{weights}`; or a GPU to train it: `{training}`.", weights


def _trained(claim: Claim, paper: Paper, data: str) -> str:
    """The options by which the claim's own variant is trained and scored."""
    from hpe_bench import protocols

    variant = next(v for v in paper.variants if v.name == claim.variant)
    recipe = plan.recipe_of(paper, variant, claim.recipe or None)
    options = f" --variant {variant.name}"
    if claim.recipe:
        options += f" --recipe {recipe.name}"
    if recipe.init == "imagenet":
        options += " --init <ImageNet weights>"
    usual = {p.name for group in protocols.TRAINED.get(data, ()) for p in group}
    return options if claim.protocol in usual else f"{options} --protocol {claim.protocol}"


def _data(protocol: str) -> str:
    """Options for a data set that does not come with the package."""
    name = protocol.partition("-")[0]
    return "" if name in ("", "mannequins") else f" --data {name} --root <folder of {name}>"
