"""A training run under way: when to log, draw, measure and save, and how to stop."""

import logging
from contextlib import ExitStack, closing, nullcontext
from typing import Any

from diffusion.compute import distributed
from diffusion.compute.precision import autocast
from diffusion.data.loader import Batch, batches
from diffusion.inference.prompts import prompts_from
from diffusion.pictures.grid import save_picture
from diffusion.runs import checkpoints, snapshots
from diffusion.runs.files import make_folder, watch_folder
from diffusion.runs.metrics import MetricsFile, require_logged
from diffusion.runs.printable import reason
from diffusion.runs.small_files import read_plain
from diffusion.training.ema import WithWeights
from diffusion.training.interruption import Interruption
from diffusion.training.learner import Learner
from diffusion.training.lost_folder import FolderGone, rescue
from diffusion.training.not_finite import NotFinite, detect_anomalies, last_words
from diffusion.training.preview import caption, picture_path
from diffusion.training.progress import TrainingProgress
from diffusion.training.saver import Saver
from diffusion.training.throughput import Throughput
from diffusion.training.trainer import Run, Trainer, rate_factor

log = logging.getLogger(__name__)


def fit(trainer: Trainer, run: Run, state: dict[str, Any] | None = None) -> int:
    """Train, from `state` if there is one; the exit code, 0 unless a signal stopped it."""
    learner = trainer.learner(run)
    if state is not None:
        try:
            learner.load_state_dict(state)
        except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"the checkpoint in {run.folder} does not fit this run ({reason(error)})") from error
    if not learner.finite:
        begin = f"{run.checkpoints} (step {learner.steps_done})" if state else "the network, or init_from,"
        raise ValueError(
            f"{begin} holds weights that are not finite; remove them, or begin anew under another name=..."
        )
    with ExitStack() as opened:
        return Loop(trainer, run, learner, opened).run_through()


class Loop:
    """Takes a learner from where it stands to the last step. Every process takes every step; one of them writes.

    What it opens, such as the thread that writes checkpoints, `opened` closes.
    """

    def __init__(self, trainer: Trainer, run: Run, learner: Learner, opened: ExitStack) -> None:
        self.trainer, self.run, self.learner = trainer, run, learner
        self.leads = distributed.is_leader()
        self.saved = self.logged = self.start = start = learner.steps_done
        self.throughput = Throughput(run, learner)
        run.images.prepare()  # Before signals wait for the end of a step: packing may take minutes.
        # First in, last out: a signal must not cut short the writing of the last checkpoint.
        self.interruption = opened.enter_context(Interruption())
        self.metrics = MetricsFile(run.folder / "metrics.jsonl")
        distributed.all_gather(None)  # Nobody reads any more what is tidied now.
        if self.leads:
            self.folder_is_gone = opened.enter_context(watch_folder(run.folder))
            self.metrics.rewind(start)
            checkpoints.clean_up(run.checkpoints, start)
            snapshots.remove_after(run.folder / "snapshots", start)
            saver = Saver(
                run.checkpoints, keep=trainer.keep, keep_every=trainer.keep_every, on_write=run.logger.checkpoint
            )
            self.saver = opened.enter_context(saver)
            self.progress = opened.enter_context(closing(TrainingProgress(trainer.max_steps, start)))
        stream = batches(
            run.images, run.conditions, batch_size=trainer.batch_size, seed=run.seed, start=start,
            rank=distributed.rank(), world=distributed.world_size(), device=run.device, stop=self.gives_up,
        )  # fmt: skip
        self.stream = opened.enter_context(closing(stream))
        if trainer.detect_anomaly:
            opened.enter_context(detect_anomalies(learner.model, lambda: learner.steps_done))

    def run_through(self) -> int:
        """Train until the last step or a signal; the exit code."""
        try:
            # Either may be due here, if the run was broken off meanwhile.
            step, preview = self.learner.steps_done, self.trainer.preview
            drawn = distributed.broadcast_from_leader(lambda: preview.drawn(self.run.folder, step))
            if preview.due(step, self.ends) and not drawn:
                self.draw()
            self.measure()
            self.throughput.begin()
            while not self.ends and not self.interruption.agreed and (batch := next(self.stream, None)):
                self.step(batch)
            self.save()
        except NotFinite as error:
            raise NotFinite(self.last_words(error)) from None
        except FolderGone:
            save = self.save_at_once if self.learner.parallel.needs_no_other else None
            raise rescue(self.run.folder, self.learner.steps_done, save) from None
        except (ValueError, OSError, RuntimeError) as error:
            # What goes wrong outside of a step leaves the steps before worth keeping.
            outside = isinstance(error, ValueError | OSError) or distributed.is_peer_loss(error)
            if outside and self.learner.parallel.needs_no_other:
                try:
                    self.save()
                except NotFinite as spoilt:
                    log.warning("%s", self.last_words(spoilt))
            raise
        return 0 if self.ends else self.interruption.exit_code

    def gives_up(self) -> bool:
        """True if a signal came and images do not; to save sharded weights, it would have to wait for the others."""
        return self.learner.parallel.needs_no_other and self.interruption.overdue

    def step(self, batch: Batch) -> None:
        trainer, learner = self.trainer, self.learner
        factor = rate_factor(
            learner.steps_done, warmup_steps=trainer.warmup_steps, anneal_steps=trainer.anneal_steps,
            decay_steps=trainer.decay_steps,
        )  # fmt: skip
        learner.step(batch, factor)
        if self.due(trainer.log_every):
            self.log()
        if self.leads:
            self.progress.tick(learner.steps_done)
        if learner.ema.exponents and self.due(trainer.snapshot_every or trainer.save_every):
            learner.check()
            averages = learner.widths()
            if self.leads:
                self.saver.save_averages(learner.steps_done, averages)
        draws = trainer.preview.due(learner.steps_done, self.ends)
        # What takes long comes after a save: who wants the process to stop meanwhile may not wait for its end.
        if self.due(trainer.save_every) or draws or self.measures:
            self.save()
        with self.throughput.paused():
            if draws:
                self.draw()
            self.measure()

    @property
    def ends(self) -> bool:
        return self.trainer.max_steps is not None and self.learner.steps_done >= self.trainer.max_steps

    @property
    def measures(self) -> bool:
        return bool(self.trainer.evaluations) and self.due(self.trainer.evaluate_every)

    def due(self, every: int) -> bool:
        """True at every so many steps, and at the end."""
        return self.learner.steps_done > 0 and (self.ends or (every > 0 and self.learner.steps_done % every == 0))

    def log(self) -> None:
        """Write down where the training stands."""
        step = self.learner.steps_done
        if self.leads and self.folder_is_gone():
            raise FolderGone
        self.learner.spoilt.check()
        speeds = self.throughput.readings((step - self.logged) * self.trainer.batch_size)
        readings = self.learner.readings() | speeds
        self.logged = step
        if not self.trainer.evaluations:
            require_logged(self.run.objective, readings)  # at the first log, not after days
        if self.leads:
            self.write(readings)
            loss = readings.get("loss", float("nan"))
            self.progress.update(step, images_per_second=speeds["images_per_second"], loss=loss)

    def write(self, readings: dict[str, float], panel: str | None = None) -> None:
        row = {"images": self.learner.steps_done * self.trainer.batch_size, **readings}
        self.metrics.write(self.learner.steps_done, row)
        self.run.logger.log(self.learner.steps_done, row, panel)

    def draw(self) -> None:
        """Draw and keep previews; what goes wrong with them costs pictures, never the training."""
        run, step, preview = self.run, self.learner.steps_done, self.trainer.preview
        weights = self.learner.weights()
        if not self.leads:
            return
        try:
            model = run.trained(self.learner.parallel.plain().to(run.device), step=step)
            conditions, classes = model.conditions_to_ask, model.classes_to_ask
            prompts = prompts_from(conditions, run.images, preview.images, classes=classes)
            for name, grid in preview.pictures(model, weights, run.sampler, prompts, self.learner.schedule_sampler):
                save_picture(picture_path(run.folder, step, name), grid)
                run.logger.images(step, f"samples/{name}", grid, caption(step, name, run.sampler))
        except (OSError, ValueError, RuntimeError) as error:
            log.warning("Training goes on without the preview of step %d: %s", step, str(error).partition("\n")[0])

    def measure(self) -> None:
        """Measure the slowest of the averages if that is due and was not done already."""
        if not self.measures:
            return
        assert self.run.subject and self.trainer.evaluations, "who has evaluations has a subject"
        name, weights = list(self.learner.weights().items())[-1]
        network = WithWeights(self.learner.parallel.plain().to(self.run.device), weights).eval()
        subject = self.run.subject(self.run.trained(network, step=self.learner.steps_done, weights=name))
        with autocast("float32", self.run.device):
            found = [self.found(name, evaluation, subject) for name, evaluation in self.trainer.evaluations.items()]
        if all(found):
            distributed.broadcast_from_leader(lambda: require_logged(self.run.objective, self.metrics.names()))

    def found(self, name: str, evaluation: Any, subject: Any) -> bool:
        """Measure and keep the numbers, the files where evaluate.py would leave them.

        What goes wrong costs the numbers and a warning, never the training.
        """
        try:
            with distributed.raise_on_all():
                folder = self.run.folder / "evaluation" / subject.folder_name(evaluation)
                # It was measured already if the run was broken off after it.
                step, result = self.learner.steps_done, folder / "result.json"
                if distributed.broadcast_from_leader(lambda: self.metrics.tells(step, read_plain(result, dict))):
                    return True
                with make_folder(folder) if self.leads else nullcontext():
                    findings = evaluation.measure(subject, folder)
        except (OSError, ValueError, RuntimeError) as error:
            if distributed.is_peer_loss(error):
                raise
            if self.leads:
                log.warning("Training goes on without %s: %s", name, str(error).partition("\n")[0])
            return False
        if self.leads:
            self.write(findings.numbers, panel="quality")
            log.info("Step %d: %s", self.learner.steps_done, findings.text)
        return True

    def save(self) -> None:
        """Have a checkpoint of the step in hand written, unless it is there already or is the untrained beginning."""
        if self.learner.steps_done in (0, self.saved):
            return
        self.learner.check()
        state = self.learner.state_dict()
        if self.leads:
            self.saver.save({**state, "config": self.run.config})
        self.saved = self.learner.steps_done

    def save_at_once(self) -> None:
        self.save()
        self.saver.close()

    def last_words(self, error: NotFinite) -> str:
        if not self.leads:
            return str(error)
        self.saver.close()
        self.run.logger.alert("Numbers gone wrong", str(error))
        return last_words(
            error, start=self.start, finite=self.learner.finite, folder=self.run.checkpoints,
            name=self.run.config.get("name", self.run.folder.name),
        )  # fmt: skip
