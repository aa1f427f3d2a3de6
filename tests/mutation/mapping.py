"""Which tests a fault in a file meets first: C tests by name, and test files of pytest.

All rows whose pattern fits count, from the top; then the default ones. A mutant meets every C test and as
many of the test files as fit into the time (see campaign.py), so the likeliest come first.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

_TABLE: list[tuple[str, str]] = [
    ("api.c", "test_engine"),
    ("arrays.c", "test_arrays test_refusals test_plain_updates test_optimizer_training test_gemm"),
    ("arrays.c", "test_bad_input test_matrices test_optimizers test_plain_threads"),
    ("averages.c", "test_corners test_write test_refusals test_averages test_wrapper_vectors test_sam"),
    ("products.c", "test_refusals test_products test_gemm"),
    ("clip.c", "test_write test_clip test_clip_ledger test_clipping test_constraints test_effective_weights"),
    ("clip.c", "test_pruning test_scheduled_clips"),
    ("clip_rules.c", "test_write test_clip test_clip_ledger test_clipping test_constraints test_pruning"),
    ("crowding.c", "test_crowding test_threads test_plain_threads test_late_threads test_reproducible"),
    ("cpu.c", "test_refusals test_import test_kernels"),
    ("eigen.c", "test_matrices test_curvature"),
    ("elementwise.c", "test_elementwise test_refusals test_plain_threads test_losses test_activations"),
    ("files.c", "test_corners test_io_files test_files"),
    ("format.c", "test_corners test_locale"),
    ("init.c", "test_initializers test_initial_values"),
    ("io*.c", "test_corners test_io test_io_files test_files"),
    ("locks.c", "test_choices test_sharing test_forks test_threads"),
    ("loss.c", "test_loss test_loss_options test_loss_vectors test_losses"),
    ("matri*.c", "test_matrices test_optimizer_styles test_bad_input"),
    ("memory.c", "test_memory test_engine"),
    ("muon.c", "test_matrices test_optimizer_styles"),
    ("network.c", "test_refusals test_network test_heads test_layers test_bad_input"),
    ("optimizers.c", "test_plain_updates test_optimizers test_optimizer_styles test_averages"),
    ("orthogonal.c", "test_matrices test_initializers test_initial_values"),
    ("parameters.c", "test_initialize test_refusals test_network test_flat_parameters"),
    ("parameters.c", "test_initial_values test_weight_norm"),
    ("pass.c", "test_refusals test_custom_loss test_gradients test_network test_outputs"),
    ("penalty.c", "test_refusals test_penalties test_effective_weights test_scheduled_rates"),
    ("plan.c", "test_choices test_threads test_reproducible test_reproducible_rows test_narrow test_strips"),
    ("plan.c", "test_memory"),
    ("predict.c", "test_refusals test_outputs test_fit test_heads test_threads test_bad_input"),
    ("ranges.c", "test_choices test_elementwise test_plain_threads"),
    ("rates.c", "test_rates test_scheduled_rates test_noise"),
    ("registry.c", "test_completeness test_bad_input test_loss_options test_import"),
    ("rng.c", "test_reference test_reproducible test_noise test_initial_values"),
    ("sam.c", "test_sam"),
    ("soap.c", "test_matrices test_optimizer_styles"),
    ("step.c", "test_reproducible test_reproducible_layers test_penalties test_gradients test_clipping"),
    ("surgery.c", "test_heads test_heads_reproducible test_heads_bad_input"),
    ("tasks.c", "test_heads test_heads_reproducible test_losses test_loss_options test_heads_bad_input"),
    ("threads.c", "test_threads test_reproducible"),
    ("train.c", "test_nonfinite test_threads test_fit test_reproducible test_reproducible_layers"),
    ("train_checks.c", "test_refusals test_bad_input test_heads_bad_input test_fit test_loss_options"),
    ("trainer.c", "test_write test_refusals test_files test_optimizer_training test_bad_input test_averages"),
    ("trainer.c", "test_fit"),
    ("tuner.c", "test_choices test_threads test_reproducible"),
    ("update.c", "test_nonfinite test_clipping test_averages test_optimizer_training"),
    ("ops/activation.c", "test_corners test_activations test_gradients"),
    ("ops/batch_norm.c", "test_batch_norm test_reproducible_layers"),
    ("ops/dense.c", "test_weight_norm test_gradients test_reproducible test_penalties"),
    ("ops/dropout.c", "test_noise test_scheduled_rates test_reproducible_layers"),
    ("ops/noise.c", "test_noise test_scheduled_rates test_reproducible_layers"),
    ("ops/embedding.c", "test_embedding"),
    ("ops/heads.c", "test_corners test_heads test_heads_reproducible"),
    ("ops/residual.c", "test_residual test_depth"),
    ("ops/rescale.c", "test_write test_weight_norm test_effective_weights test_rescale_vectors test_norms"),
    ("ops/norm.c", "test_norms"),
    ("ops/standardize.c", "test_standardize test_network"),
    ("ops/glu.c", "test_gates"),
    ("ops/maxout.c", "test_gates"),
    ("ops/prelu.c", "test_gates test_activations"),
    ("ops/*.c", "test_layers test_reproducible_layers test_gradients"),
    ("kernels/act*.inc", "test_kernels test_activations test_plain_kernels"),
    ("kernels/batch.inc", "test_batch_norm test_kernels"),
    ("kernels/clip.inc", "test_clip test_clipping test_constraints"),
    ("kernels/gate.inc", "test_gates test_kernels"),
    ("kernels/gemm.inc", "test_gemm test_strips test_kernels test_guard_pages"),
    ("kernels/product.inc", "test_products test_gemm"),
    ("kernels/narrow.inc", "test_narrow test_gemm test_guard_pages"),
    ("kernels/layout.inc", "test_kernels test_network test_guard_pages test_flat_parameters"),
    ("kernels/loss*.inc", "test_losses test_loss_vectors test_loss_options test_guard_pages"),
    ("kernels/math.inc", "test_math test_activations test_kernels"),
    ("kernels/noise.inc", "test_noise test_initializers test_guard_pages"),
    ("kernels/norm.inc", "test_norms test_kernels test_guard_pages"),
    ("kernels/optim_matrix.inc", "test_matrices"),
    ("kernels/optim*.inc", "test_optimizers test_optimizer_training test_optimizer_styles test_guard_pages"),
    ("kernels/reduce.c", "test_activations"),
    ("kernels/sine.inc", "test_activations test_kernels test_math"),
    ("kernels/stats.inc", "test_kernels test_clipping test_noise test_guard_pages"),
    ("kernels/*.inc", "test_kernels test_guard_pages"),
]
_DEFAULT = "test_gradients test_fit"


def tests_of(file: str, root: Path) -> tuple[list[str], list[str]]:
    """C tests and test files, in order, that a file is mapped to and that exist."""
    name = file.removeprefix("src_c/")
    words = " ".join([row for pattern, row in _TABLE if fnmatch(name, pattern)] + [_DEFAULT]).split()
    words = list(dict.fromkeys(words))
    in_c = [word for word in words if (root / "tests" / "c" / f"{word}.c").is_file()]
    folders = {path.stem: path.parent.name for path in (root / "tests").glob("*/test_*.py")}
    return in_c, [f"{folders[word]}/{word}.py" for word in words if word in folders]
