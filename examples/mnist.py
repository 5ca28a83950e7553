"""Train a network on handwritten digits, and look at what it learned.

    python examples/mnist.py                    a small CNN on MNIST
    python examples/mnist.py --model mlp --optimizer sgd --epochs 3
    python examples/mnist.py --help             all options

MNIST is looked for in --data, in the folder that MINIGRAD_DATA names and in the cache, and
downloaded with --download. Where there is none, the 1,797 small digits that come with minigrad
stand in for it.

Before this: minigrad/autograd.py, for what loss.backward() does. The training loop is `train`.
Next: minigrad/training/loop.py, the same loop with everything around it; examples/prune_cnn.py.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tqdm import tqdm

import minigrad
import minigrad.nn.functional as F
from minigrad import optim
from minigrad.utils.data import DataLoader, Subset
from minigrad.vision import datasets, models, transforms
from minigrad.viz import plots

MODELS = {"mlp": models.mlp, "lenet": models.lenet, "cnn": models.cnn}

# The largest learning rate of the schedule, by optimizer.
LEARNING_RATES = {"sgd": 0.2, "momentum": 0.05, "adam": 0.004}


# --------------------------------------------------------------------------------- training


def train(model, loader, validation_loader, loss_of, optimizer, schedule, epochs, device, history):
    """Train the model, and add a row for each epoch to the printed table and to `history`."""

    def train_step(images, labels):
        logits = model(images)  # forward: compute, and leave a graph behind
        loss = loss_of(logits, labels)
        optimizer.zero_grad()  # gradients add up; begin at none
        loss.backward()  # backward: every parameter gets its .grad
        optimizer.step()  # move every parameter against its gradient
        return loss, (logits.argmax(1) == labels).sum()

    # On a GPU the whole step becomes a single launch; on the CPU the function stays as it is.
    size = loader.batch_size
    example = minigrad.zeros(size, 1, 28, 28), minigrad.zeros(size, dtype=minigrad.int64)
    train_step = minigrad.cuda.capture(train_step, example)

    print(f"\n{'epoch':>5} {'loss':>9} {'accuracy':>9} {'val loss':>9} {'val acc':>9} {'time':>8}")
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        model.train()
        total_loss = total_right = seen = 0
        bar = tqdm(loader, desc=f"epoch {epoch}/{epochs}", leave=False, unit="batch", disable=None)
        for images, labels in bar:
            loss, right = train_step(images.to(device), labels.to(device))
            schedule.step()

            seen += len(labels)
            total_loss += loss.item() * len(labels)
            total_right += right.item()
            status = f"loss {total_loss / seen:.3f}, accuracy {total_right / seen:.1%}"
            bar.set_postfix_str(status, refresh=False)

        logits, labels = predict(model, validation_loader, device)
        row = {
            "loss": total_loss / seen,
            "accuracy": total_right / seen,
            "val_loss": loss_of(logits, labels).item(),
            "val_accuracy": accuracy(logits, labels),
        }
        for name, value in row.items():
            history.setdefault(name, []).append(value)
        print(
            f"{epoch:>5} {row['loss']:>9.4f} {row['accuracy']:>9.2%} {row['val_loss']:>9.4f} "
            f"{row['val_accuracy']:>9.2%} {time.perf_counter() - start:>6.1f} s"
        )


@minigrad.no_grad()
def predict(model, loader, device):
    """Return the logits for all images of the loader, and the labels."""
    model.eval()
    logits, labels = [], []
    for images, batch_labels in loader:
        logits.append(model(images.to(device)).cpu())
        labels.append(batch_labels)
    return minigrad.cat(logits), minigrad.cat(labels)


def accuracy(logits, labels):
    """Return the share of samples whose largest logit is at the label."""
    return (logits.argmax(1) == labels).float().mean().item()


def mean_squared_error(logits, labels):
    """Return the mean squared distance of the outputs to 1 at the label, and 0 elsewhere."""
    return F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).to(logits.dtype))


# ------------------------------------------------------------------------------------- data


def load_data(folder, download, seed):
    """Return training, validation and test data, the class names, and how many epochs suit."""
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.13,), (0.31,))])
    try:
        training = validation = datasets.MNIST(folder, True, plain, download=download)
        test = datasets.MNIST(folder, False, plain, download=download)
        name, held_out, epochs = "MNIST", 5000, 3
    except datasets.DatasetNotFoundError as error:
        print(error)
        print(
            "\nMNIST is not here, so the 1,797 bundled digits of 8 x 8 stand in for it, enlarged\n"
            "to 28 x 28. They are easier: the same people wrote the training and the test images.\n"
            "For MNIST give --download, or --data with the folder that holds it.\n"
        )
        # They are few, but a digit moved by up to three pixels is another image of the same.
        moved = transforms.Compose([transforms.RandomCrop(28, padding=3), plain])
        training, validation, test = [
            datasets.Digits(part, transform, mnist_form=True)
            for part, transform in ((True, moved), (True, plain), (False, plain))
        ]
        name, held_out, epochs = "the bundled digits", 137, 40
    order = minigrad.randperm(len(training), generator=minigrad.Generator().manual_seed(seed))
    order = order.tolist()
    training, validation = Subset(training, order[held_out:]), Subset(validation, order[:held_out])
    print(f"data: {name}, {len(training):,} to train, {held_out:,} held out, {len(test):,} to test")
    return training, validation, test, epochs


# ------------------------------------------------------------------------------------- main


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train a network on MNIST and draw what it learned.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", choices=MODELS, default="cnn", help="the network")
    parser.add_argument(
        "--optimizer", choices=LEARNING_RATES, default="adam", help="how parameters move"
    )
    parser.add_argument(
        "--loss",
        choices=["cross-entropy", "mse"],
        default="cross-entropy",
        help="what is minimised",
    )
    parser.add_argument(
        "--epochs", type=positive(int), help="passes over the data; None: what suits"
    )
    parser.add_argument("--batch-size", type=positive(int), default=64, help="images a step")
    parser.add_argument("--lr", type=positive(float), help="peak learning rate; None: what suits")
    parser.add_argument("--seed", type=int, default=0, help="of weights, shuffling and dropout")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--data", default="data", metavar="DIR", help="where MNIST is, or shall be")
    parser.add_argument("--download", action="store_true", help="download MNIST if it is nowhere")
    parser.add_argument(
        "--out", default="runs/mnist", metavar="DIR", help="for weights and pictures"
    )
    return parser.parse_args()


def positive(kind):
    def convert(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a positive number")
        return value

    convert.__name__ = f"positive {kind.__name__}"
    return convert


def main():
    args = parse_arguments()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    device = minigrad.device(args.device)
    minigrad.manual_seed(args.seed)

    training, validation, test, epochs = load_data(args.data, args.download, args.seed)
    epochs = args.epochs or epochs
    loader = DataLoader(training, batch_size=args.batch_size, shuffle=True)
    validation_loader = DataLoader(validation, batch_size=500)

    model = MODELS[args.model]().to(device)
    lr = args.lr or LEARNING_RATES[args.optimizer]
    if args.optimizer == "adam":
        optimizer = optim.Adam(model.parameters(), lr=lr)
    else:
        momentum = 0.9 if args.optimizer == "momentum" else 0.0
        optimizer = optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=epochs * len(loader), cycle_momentum=False
    )
    loss_of = F.cross_entropy if args.loss == "cross-entropy" else mean_squared_error
    count = sum(p.numel() for p in model.parameters())
    print(f"model: {args.model}, {count:,} parameters; {args.optimizer}, {epochs} epochs")

    history, start = {}, time.perf_counter()
    (out / "curves.png").unlink(missing_ok=True)  # of an earlier run; this one may be stopped
    try:
        train(
            model, loader, validation_loader, loss_of, optimizer, schedule, epochs, device, history
        )
    except KeyboardInterrupt:
        print("\nstopped; saving what was learned so far")
        if optimizer.param_groups[0]["params"][0].grad is None:
            raise SystemExit("nothing yet: the files of earlier runs stay as they are") from None
    print(f"\ntrained in {time.perf_counter() - start:.1f} s")

    minigrad.save(model.state_dict(), out / "weights.npz")
    logits, labels = predict(model, DataLoader(test, batch_size=500), device)
    print(f"test accuracy: {accuracy(logits, labels):.2%} on {len(test):,} images")
    draw(out, model, history, test, logits, labels)


def draw(out, model, history, test, logits, labels):
    """Write the pictures to the folder `out`."""
    pictures = {
        "confusion.png": plots.confusion_matrix(labels, logits.argmax(1)),
        "mistakes.png": plots.worst_mistakes(test.data, labels, logits),
        "filters.png": plots.filters(first_weight(model)),
    }
    if history:
        pictures["curves.png"] = plots.training_curves(history)
    for name, figure in pictures.items():
        figure.savefig(out / name, dpi=120)
    print(f"weights and pictures: {', '.join(['weights.npz', *sorted(pictures)])} in {out}/")


def first_weight(model):
    """Return the first weight of the network: its filters."""
    return next(p for name, p in model.named_parameters() if name.endswith("weight"))


if __name__ == "__main__":
    main()
