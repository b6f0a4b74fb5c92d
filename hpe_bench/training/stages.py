"""Stages of a training: which loss, which weights and how far along at each step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from hpe_bench.declare import Curriculum, Recipe, Stage


@dataclass(frozen=True)
class Span:
    """A stage and its steps: `first` up to and without `end`."""

    stage: Stage
    first: int
    end: int

    def progress(self, step: int) -> float:
        """How far along the stage is before a step, in [0, 1)."""
        return (step - self.first) / (self.end - self.first)


def spans(recipe: Recipe, total: int) -> list[Span]:
    """The stages of a recipe over `total` steps, in order and without gaps; a plain recipe is one stage."""
    if not isinstance(recipe, Curriculum):
        return [Span(Stage("whole", 1.0, recipe.loss), 0, total)]
    done, first, found = 0.0, 0, []
    for stage in recipe.stages:
        done += stage.share
        found.append(Span(stage, first, end := round(total * done)))
        first = end
    if any(span.first == span.end for span in found):
        raise ValueError(f"recipe {recipe.name!r}: one of its stages is shorter than a step; give it more samples")
    return found


def trained_parameters(model: nn.Module, stage: Stage) -> list[nn.Parameter]:
    """The parameters a stage trains, in the model's order; the others no longer ask for gradients."""
    children = dict(model.named_children())
    if missing := [name for name in stage.trains if name not in children]:
        raise ValueError(f"stage {stage.name!r} trains {missing[0]!r}; the model has {', '.join(children)}")
    for name, child in children.items():
        child.requires_grad_(not stage.trains or name in stage.trains)
    return [p for p in model.parameters() if p.requires_grad]


def training_mode(model: nn.Module, stage: Stage) -> None:
    """Training mode for what a stage trains, evaluation mode for what it freezes."""
    model.train()
    for name, child in model.named_children():
        if stage.trains and name not in stage.trains:
            child.eval()
