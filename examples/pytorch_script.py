"""A script written for PyTorch, running on minigrad: only its imports were changed.

    import torch                                    ->  import minigrad as torch
    import torch.nn as nn                           ->  import minigrad.nn as nn
    import torch.optim as optim                     ->  import minigrad.optim as optim
    from torchvision import datasets, transforms    ->  from minigrad.vision import ...

    python examples/pytorch_script.py [--epochs 10] [--data DIR]

It needs MNIST in --data, in MINIGRAD_DATA or in the cache, and downloads it otherwise. Given the
same weights and batches PyTorch computes the same losses, as
tests/against_torch/test_script_torch.py shows.

Before this: examples/mnist.py. Next: the README's table of where minigrad differs from PyTorch.
"""

import argparse

import minigrad as torch
import minigrad.nn as nn
import minigrad.optim as optim
from minigrad.vision import datasets, transforms


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()  # noqa: UP008 (as many scripts still write it)
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def train(model, loader, epochs, device):
    """Train, print each epoch's mean loss, and return the loss of every step."""
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    losses = []
    for epoch in range(epochs):
        running_loss = 0.0
        for i, data in enumerate(loader, 0):  # noqa: B007
            inputs, labels = data[0].to(device), data[1].to(device)
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            running_loss += losses[-1]
        print(f"epoch {epoch + 1}: mean loss {running_loss / (i + 1):.4f}", flush=True)
    return losses


def test(model, loader, device):
    """Return the share of images that the model gets right."""
    correct = total = 0
    with torch.no_grad():
        for images, labels in loader:
            outputs = model(images.to(device))
            _, predicted = torch.max(outputs.data, 1)
            total += labels.size(0)
            correct += (predicted == labels.to(device)).sum().item()
    return correct / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--data", default="data")
    parser.add_argument("--out", default="net.pth")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    trainset = datasets.MNIST(args.data, train=True, download=True, transform=transform)
    testset = datasets.MNIST(args.data, train=False, download=True, transform=transform)
    trainloader = torch.utils.data.DataLoader(trainset, batch_size=32, shuffle=True)
    testloader = torch.utils.data.DataLoader(testset, batch_size=1000, shuffle=False)

    model = Net()
    model.to(device)
    train(model, trainloader, args.epochs, device)
    print(f"test accuracy {test(model, testloader, device):.2%}")

    torch.save(model.state_dict(), args.out)
    model.load_state_dict(torch.load(args.out))


if __name__ == "__main__":
    main()
