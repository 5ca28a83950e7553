"""The compression lab: networks that are really smaller and really faster.

One page to read first: what each technique saves, and what it does not. A network can be too
large in three ways, and no technique helps with all of them.

*Storage*, the bytes on disk or over the air; *FLOPs*, the multiplications and additions of one
forward; *milliseconds*, what the clock says::

                                       storage        FLOPs          milliseconds
    masks (unstructured pruning)       only stored    only on paper  none
                                       as sparse
    fewer bits (quantization)          4 to 16 times  none           none here
    shared weights (k-means)           5 to 10 times  none           none
    relative indices + Huffman code    a quarter more none           none
    whole channels and neurons gone    as the share   as the share   nearly as the share
    whole layers gone                  theirs         theirs         theirs, and their overhead
    distillation                       none by itself: a small network learns from a large one

**Why does a mask save no time?** Set nine tenths of a weight matrix to zero and multiply: the
product takes exactly as long, for the processor multiplies by zero as diligently as by pi. Then
store the survivors only (`CSR`) and skip the rest: a tenth of the multiplications, and still not
faster. A dense product runs at the peak of the machine because it knows beforehand where
everything lies: eight or sixteen numbers are loaded side by side, multiplied at once, and each is
used many times while it is in the fastest memory. The survivors of a mask lie anywhere. Each costs
an index to be read, a number to be fetched from wherever the index points, and one multiplication
where the vector unit could have done sixteen. Measured with `CSR`, in NumPy on one core, 300 x 784
times 784 x 128: with a twentieth of the weights left the sparse product takes about 15 times as
long as the dense one; with a hundredth left, as long. Libraries written in C break even sooner,
and GPUs can skip zeros that follow a pattern they were built for; a mask follows none.

What saves time is a *smaller dense network*: remove whole rows, columns, channels, layers, so that
what remains is again a matrix without holes. That loses accuracy sooner, because a row that goes
takes its useful weights along. So the two kinds answer different questions. Is the model too large
to ship? Mask, share and code it: 40 times smaller and more, as accurate, as slow. Is it
too slow to run? Remove structure: several times faster, and smaller by as much.

**Why do 8-bit integers save no time here?** Processors do have instructions that multiply four
times as many 8-bit integers as floats, but NumPy's matrix product of integers does not use them;
it is a plain loop. `int8_matmul` gets exact integer results out of the floating-point product
instead, which is as fast as the float network was, plus the rounding. It shows what the arithmetic
does to accuracy, and it stores a quarter of the bytes.

**Is a tenth of the weights a tenth of the bytes?** No: each survivor must also say where it is.
With 32-bit floats and 16-bit columns (CSR), a tenth of the weights takes 15 % of the bytes. With
4-bit codes, the position costs more than the value; so positions are stored as short distances,
and both are Huffman coded (``coding.py``). The codebooks and code tables count, too.

**In which steps?** A network that loses nine tenths at once forgets what it knew; in rounds, with
training in between, it hardly notices. The strategies are generators around a training loop that
remains yours, ``train(model)``, and can be combined (``strategies.py``)::

    one_shot                 cut once, train
    iterative                cut a little, train, repeat, along a cubic or exponential curve
    hierarchical             the outermost layers first, then inwards
    adaptive                 each layer loses what a scan says it can spare, down to a budget: "at
                             most 1 point of accuracy", "20 % of the FLOPs", "50 kB"
    lottery_ticket           cut, and go back to the weights of the beginning

    for step in compress.iterative(model, train, keep=0.05, rounds=5, evaluate=accuracy):
        print(step)                                    # round 3: 11.08% left, score 98.31%
    small = step.model
    compress.detach_masks(small)                       # prune ...
    compress.share_weights(small, bits=4)              # ... share ...
    train(small)
    compress.finish_sharing(small)
    compress.save_compressed(small, "small.mgc")       # ... code
    print(compress.compare({"before": model, "after": small}, images, accuracy))

Read on in this order: ``sparse.py`` (masks) and ``csr.py``; ``quantize.py`` and ``int8.py``;
``share.py``; ``coding.py``, ``container.py`` and ``stored.py`` (the file); ``trace.py``,
``channels.py``, ``channel_rules.py``, ``importance.py`` and ``groups.py``, on which
``structure.py``, ``removal.py`` and ``modules.py`` build, which change the architecture;
``sensitivity.py`` and ``budget.py`` (how much); then ``cuts.py``, ``plans.py`` and
``strategies.py``, which put them together, and ``report.py``, which says what came of it.
``distill.py`` stands alone. See it done in ``examples/compress_mnist.py`` (storage) and
``examples/prune_cnn.py`` (time).
"""

from . import distill as distill
from .budget import fit_masks as fit_masks
from .budget import scan_masks as scan_masks
from .coding import huffman_decode as huffman_decode
from .coding import huffman_encode as huffman_encode
from .coding import huffman_lengths as huffman_lengths
from .container import StoredTensor as StoredTensor
from .container import compressed_sizes as compressed_sizes
from .container import load_compressed as load_compressed
from .container import save_compressed as save_compressed
from .csr import CSR as CSR
from .csr import load_sparse as load_sparse
from .csr import save_sparse as save_sparse
from .cuts import CutChannels as CutChannels
from .cuts import CutWeights as CutWeights
from .int8 import Int8Conv2d as Int8Conv2d
from .int8 import Int8Linear as Int8Linear
from .int8 import int8_matmul as int8_matmul
from .int8 import int8_model as int8_model
from .modules import module_importance as module_importance
from .modules import prune_modules as prune_modules
from .modules import removable_modules as removable_modules
from .modules import remove_modules as remove_modules
from .plans import cubic as cubic
from .plans import exponential as exponential
from .quantize import FakeQuantize as FakeQuantize
from .quantize import Quantized as Quantized
from .quantize import fake_quantize as fake_quantize
from .quantize import finish_quantization as finish_quantization
from .quantize import quantization_aware as quantization_aware
from .quantize import quantize_tensor as quantize_tensor
from .quantize import quantize_weights as quantize_weights
from .report import compare as compare
from .report import count_flops as count_flops
from .report import count_parameters as count_parameters
from .report import measure_ms as measure_ms
from .sensitivity import BudgetError as BudgetError
from .sensitivity import fit_budget as fit_budget
from .sensitivity import scan as scan
from .share import finish_sharing as finish_sharing
from .share import kmeans as kmeans
from .share import share_weights as share_weights
from .sparse import apply_masks as apply_masks
from .sparse import attach_masks as attach_masks
from .sparse import detach_masks as detach_masks
from .sparse import sparse_masks as sparse_masks
from .sparse import sparsity as sparsity
from .sparse import threshold_masks as threshold_masks
from .stored import coded_bytes as coded_bytes
from .stored import plain_copy as plain_copy
from .stored import stored_bytes as stored_bytes
from .strategies import Step as Step
from .strategies import adaptive as adaptive
from .strategies import hierarchical as hierarchical
from .strategies import in_rounds as in_rounds
from .strategies import iterative as iterative
from .strategies import lottery_ticket as lottery_ticket
from .strategies import one_shot as one_shot
from .strategies import rewind as rewind
from .strategies import within as within
from .structure import Structure as Structure
from .structure import mask_channels as mask_channels
from .structure import prune_channels as prune_channels
from .structure import remove_channels as remove_channels
