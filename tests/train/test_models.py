"""The networks: parameters against published and closed-form numbers, shapes, a step of training, errors."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tithe.errors import UsageError
from tithe.train.models import build, names

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
FIXED = ["lenet-300-100", "lenet-5", "alexnet-s", "alexnet-b", "vgg-c", "vgg-d", "vgg-like", "resnet18", "resnet50"]


def on_meta(name: str, shape: tuple[int, ...] = CIFAR, classes: int = 10) -> nn.Module:
    """The model without memory: counts and shapes need no numbers."""
    with torch.device("meta"):
        return build(name, shape, classes)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def weights(model: nn.Module) -> int:
    """Entries of matrices and kernels: neither biases nor norms."""
    return sum(p.numel() for p in model.parameters() if p.dim() > 1)


# Parameters, with biases and norms. LeNets: Han et al. 2015, table 1 (267 K, 431 K). Wide ResNets: table of
# osmr/imgclsmob, converted from the published models. ResNet-18: kuangliu/pytorch-cifar.
@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("lenet-300-100", MNIST, 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10),
        ("lenet-300-100", MNIST, 266_610),
        ("lenet-5", MNIST, 20 * 25 + 20 + 50 * 20 * 25 + 50 + 800 * 500 + 500 + 500 * 10 + 10),
        ("lenet-5", MNIST, 431_080),
        ("mlp:7", (5,), 5 * 7 + 7 + 7 * 10 + 10),
        ("wrn-16-10", CIFAR, 17_116_634),
        ("wrn-28-10", CIFAR, 36_479_194),
        ("wrn-40-8", CIFAR, 35_748_314),
        ("wrn-22-8", CIFAR, 17_158_106),
        ("wrn-40-2", CIFAR, 2_243_546),
        ("resnet18", CIFAR, 11_173_962),
        ("resnet50", CIFAR, 23_528_522),
    ],
)
def test_parameters_as_published(name: str, shape: tuple[int, ...], count: int) -> None:
    assert parameters(on_meta(name, shape)) == count


@pytest.mark.parametrize(
    ("name", "millions"),
    [("alexnet-s", 5.1), ("alexnet-b", 8.5), ("vgg-c", 10.5), ("vgg-d", 15.2), ("vgg-like", 15.0)],
)
def test_weights_as_in_snip_table_2(name: str, millions: float) -> None:
    assert round(weights(on_meta(name)) / 1e6, 1) == millions


def test_alexnet_in_closed_form() -> None:
    convolutions = 3 * 96 * 121 + 96 * 256 * 25 + 256 * 384 * 9 + 384 * 384 * 9 + 384 * 256 * 9
    assert weights(on_meta("alexnet-s")) == convolutions + 256 * 1024 + 1024**2 + 1024 * 10
    assert weights(on_meta("alexnet-b")) == convolutions + 256 * 2048 + 2048**2 + 2048 * 10


def test_vgg_in_closed_form() -> None:
    wide = 9 * (3 * 64 + 64**2 + 64 * 128 + 128**2 + 128 * 256 + 2 * 256**2 + 256 * 512 + 5 * 512**2)
    assert weights(on_meta("vgg-d")) == wide + 2 * 512**2 + 512 * 10
    assert weights(on_meta("vgg-like")) == wide + 512**2 + 512 * 10
    assert weights(on_meta("vgg-c")) == wide - 8 * (256**2 + 2 * 512**2) + 2 * 512**2 + 512 * 10


@pytest.mark.parametrize(("depth", "width"), [(10, 1), (10, 3), (16, 8), (28, 2), (52, 1)])
def test_wide_resnet_in_closed_form(depth: int, width: int) -> None:
    """Stem; per group a widening block (with a 1 x 1 where shapes differ) and n - 1 more; classifier."""
    count, inputs = 3 * 16 * 9, 16
    for group in range(3):
        outputs = 16 * width * 2**group
        count += 9 * (inputs * outputs + outputs**2) + 18 * outputs**2 * ((depth - 4) // 6 - 1)
        count += inputs * outputs if inputs != outputs else 0
        inputs = outputs
    assert weights(on_meta(f"wrn-{depth}-{width}")) == count + inputs * 10


def test_docstrings_tell_the_true_count() -> None:
    from tithe.train.models import alexnet, lenet, resnet, vgg, wrn

    told = {
        "lenet-300-100": lenet.lenet_300_100.__doc__,
        "lenet-5": lenet.lenet_5.__doc__,
        "alexnet-s": alexnet.alexnet_s.__doc__,
        "alexnet-b": alexnet.alexnet_b.__doc__,
        "vgg-c": vgg.vgg_c.__doc__,
        "vgg-d": vgg.vgg_d.__doc__,
        "vgg-like": vgg.vgg_like.__doc__,
        "resnet18": resnet.resnet18.__doc__,
        "resnet50": resnet.resnet50.__doc__,
        **dict.fromkeys(["wrn-28-2", "wrn-16-8", "wrn-16-10", "wrn-22-8", "wrn-28-10"], wrn.__doc__),
    }
    for name, text in told.items():
        usual = MNIST if name.startswith("lenet") else CIFAR
        classes = 1000 if name == "resnet50" else 10
        assert f"{parameters(on_meta(name, usual, classes)):,}" in (text or ""), name


# What must train: the smallest image each model says it takes, its usual one, and an odd one.
FITTING = [
    *[(name, shape) for name in ("lenet-300-100", "mlp:9-4") for shape in [MNIST, CIFAR, (13,), (1, 1, 1)]],
    *[("lenet-5", shape) for shape in [MNIST, CIFAR, (2, 16, 19)]],
    *[(f"alexnet-{size}", shape) for size in "sb" for shape in [MNIST, (1, 7, 9)]],
    *[(f"vgg-{variant}", shape) for variant in ("c", "d", "like") for shape in [MNIST, (1, 8, 8), (3, 1, 33)]],
    *[(name, shape) for name in ("wrn-10-1", "wrn-16-2") for shape in [(1, 8, 8), (3, 13, 9), (1, 1, 1)]],
    *[("resnet18", shape) for shape in [(1, 8, 8), (3, 1, 2)]],
    ("resnet50", (3, 33, 65)),
]


@pytest.mark.parametrize(("name", "shape"), FITTING)
def test_one_step_reaches_every_parameter(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = build(name, shape, 4)
    scores = model(torch.randn(3, *shape))
    assert scores.shape == (3, 4)
    nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2])).backward()
    assert model.training
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", [*FIXED, "wrn-16-8", "mlp:300-100"])
def test_usual_data(name: str) -> None:
    model = on_meta(name, CIFAR, 100)
    assert model(torch.empty(2, *CIFAR, device="meta")).shape == (2, 100)


@pytest.mark.parametrize("name", ["lenet-5", "alexnet-s", "vgg-d", "wrn-10-1", "resnet18"])
def test_batch_entries_do_not_mix_in_evaluation(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, MNIST, 3).eval()
    x = torch.randn(4, *MNIST)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), atol=1e-4, rtol=1e-4)


def test_wide_resnet_shortcut_starts_from_the_activated_input() -> None:
    """Where shapes differ x -> S(a) + F(a) with a = ReLU(norm(x)); where they agree x -> x + F(a)."""
    from tithe.train.models.wrn import Block

    x = torch.randn(2, 3, 5, 5)
    for outputs, stride in [(3, 1), (4, 1), (3, 2)]:
        block = Block(3, outputs, stride, dropout=0.3).eval()
        nn.init.zeros_(block.conv2.weight)  # F = 0
        active = torch.relu(block.norm1(x))
        expected = x if block.shortcut is None else block.shortcut(active)
        torch.testing.assert_close(block(x), expected)
        assert (block.shortcut is None) == (outputs == 3 and stride == 1)


def test_wide_resnet_drops_out_in_training_only() -> None:
    model = build("wrn-10-1", (1, 8, 8), 2)
    x = torch.randn(8, 1, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.3] * 3


def test_lenet_300_100_is_the_mlp_of_that_name() -> None:
    torch.manual_seed(3)
    one = build("lenet-300-100", MNIST, 10).state_dict()
    torch.manual_seed(3)
    other = build("mlp:300-100", MNIST, 10).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_lenets_compute_what_their_papers_say() -> None:
    x = torch.randn(2, *MNIST)
    for name in ("lenet-300-100", "lenet-5"):
        model = build(name, MNIST, 10)
        w = dict(model.named_parameters())
        if name == "lenet-5":
            one = torch.relu(nn.functional.max_pool2d(nn.functional.conv2d(x, w["conv1.weight"], w["conv1.bias"]), 2))
            two = torch.relu(nn.functional.max_pool2d(nn.functional.conv2d(one, w["conv2.weight"], w["conv2.bias"]), 2))
            hidden = torch.relu(two.flatten(1) @ w["fc1.weight"].T + w["fc1.bias"])
            scores = hidden @ w["fc2.weight"].T + w["fc2.bias"]
        else:
            one = torch.relu(x.flatten(1) @ w["fc1.weight"].T + w["fc1.bias"])
            two = torch.relu(one @ w["fc2.weight"].T + w["fc2.bias"])
            scores = two @ w["fc3.weight"].T + w["fc3.bias"]
        torch.testing.assert_close(model(x), scores)


def test_names_are_built() -> None:
    assert names() == [*FIXED, "wrn-D-K", "mlp:W1-W2-...", "module.path:factory"]
    for name in FIXED:
        on_meta(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet5", "unknown model 'lenet5'; allowed are lenet-300-100, .* did you mean lenet-5"),
        ("VGG-D", "did you mean vgg-d"),
        ("resnet-18", "did you mean resnet18"),
        ("wrn28-2", "did you mean wrn-28-2"),
        ("", r"unknown model ''; allowed are .*module\.path:factory\.$"),
        ("wrn-27-2", r"depth 27.*6 n \+ 4.*nearest is wrn-28-2"),
        ("wrn-4-2", "nearest is wrn-10-2"),
        ("wrn-16-0", "width 0.*at least 1"),
        ("wrn-16", "write wrn-DEPTH-WIDTH"),
        ("wrn-16-8.5", "write wrn-DEPTH-WIDTH"),
        ("mlp:", "widths of the hidden layers"),
        ("mlp:0", "at least 1"),
        ("mlp:30-", "at least 1"),
        ("mlp:3x", "at least 1"),
        ("a b:c", r"form module\.path:factory"),
        ("nets:", r"form module\.path:factory"),
        (":make", r"form module\.path:factory"),
        ("c:d:e", r"form module\.path:factory"),
    ],
)
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, MNIST, 10)


@pytest.mark.parametrize("name", [*FIXED[1:], "wrn-16-2"])
def test_tabular_data_fit_no_convolution(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name} needs images.*\[500\].*mlp:300-100"):
        build(name, (500,), 10)


@pytest.mark.parametrize(("name", "least"), [("lenet-5", 16), ("alexnet-s", 7), ("alexnet-b", 7)])
@pytest.mark.parametrize("wide", [False, True])
def test_too_small_images(name: str, least: int, wide: bool) -> None:
    """The error comes at exactly the size below which a layer would have no output."""
    on_meta(name, (1, least, least))
    small = (1, least - 1, 40) if wide else (1, 40, least - 1)
    with pytest.raises(UsageError, match=f"{name} needs images of at least {least} x {least} pixels"):
        build(name, small, 10)


@pytest.mark.parametrize("shape", [(), (28, 28), (1, 0, 28), (0,), (1, 1, 8, 8)])
def test_shapes_that_are_no_examples(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="fit no model"):
        build("mlp:3", shape, 10)


@pytest.mark.parametrize("classes", [0, 1])
def test_too_few_classes(classes: int) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        build("mlp:3", (4,), classes)


# ---- the user's own


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Write a module into the current directory; answers with its name, one that no other test imports."""
    monkeypatch.chdir(tmp_path)
    name = f"own_{abs(hash(request.node.name))}"

    def write(code: str) -> str:
        Path(f"{name}.py").write_text(f"import torch\nfrom torch import nn\n{code}\n")
        return name

    yield write
    sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "input_shape, classes",
        "*, classes, input_shape",
        "classes=10",
        "classes=10, /",
        "**options",
        "hidden=3, *, input_shape=None",
        "*anything",
    ],
)
def test_own_factory_gets_what_it_names(own, signature: str) -> None:
    module = own(
        f"def make({signature}):\n"
        "    global seen\n    seen = dict(locals())\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))"
    )
    path = list(sys.path)
    model = build(f"{module}:make", MNIST, 10)
    assert model(torch.zeros(5, *MNIST)).shape == (5, 10)
    assert sys.path == path
    seen = sys.modules[module].seen
    given = seen | seen.pop("options", {})
    for key, value in {"input_shape": MNIST, "classes": 10}.items():
        assert given.get(key) == (value if key in signature or "**" in signature else None)


def test_own_class_is_a_factory(own) -> None:
    module = own(
        "class Net(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n        self.fc = nn.LazyLinear(classes)\n"
        "    def forward(self, x):\n        return self.fc(x.flatten(1))"
    )
    model = build(f"{module}:Net", (2, 3, 4), 5)
    assert parameters(model) == 24 * 5 + 5  # the trial has given the lazy layer its shape


def test_own_model_is_left_as_it_was(own) -> None:
    """The trial leaves a norm's statistics alone, draws no dropout, and thaws nothing that the user froze."""
    module = own(
        "def make():\n"
        "    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))\n"
        "    model[1].eval()\n    return model"
    )
    torch.manual_seed(0)
    model = build(f"{module}:make", (4,), 3)
    after = torch.rand(3)
    torch.manual_seed(0)
    nn.Linear(4, 3)
    assert torch.equal(after, torch.rand(3))
    assert isinstance(model, nn.Sequential)
    assert [m.training for m in model] == [True, False, True, True]
    assert model[0].num_batches_tracked == model[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("code", "factory", "message", "cause"),
    [
        (
            "import no_such_module_at_all",
            "make",
            "importing .* failed .*no_such_module_at_all",
            ModuleNotFoundError,
        ),
        ("def make(: pass", "make", "importing .* failed .SyntaxError", SyntaxError),
        ("raise SystemExit", "make", "importing .* failed .SystemExit", SystemExit),
        ("def make_net(): pass", "make_nt", "has no make_nt; did you mean make_net", None),
        ("", "zzzzzz", "has no zzzzzz; name a function", None),
        ("make = 3", "make", "cannot call, make", None),
        ("def make(width): pass", "make", "asks for width.*default", None),
        ("def make(classes, /): pass", "make", "asks for classes by position.*keyword", None),
        ("def make(): return 1 / 0", "make", "factory failed .ZeroDivisionError", ZeroDivisionError),
        ("def make(): return [1]", "make", r"returned a list.*torch\.nn\.Module", None),
        ("def make(): return nn.Linear(3, 10)", "make", r"batch of shape \[2, 4\]", RuntimeError),
        (
            "def make(): return nn.Linear(4, 7)",
            "make",
            r"\[2, 4\] with \[2, 7\].*10 classes need \[2, 10\]",
            None,
        ),
        ("def make(): return nn.LSTM(4, 10)", "make", "with a tuple.*one score a class", None),
    ],
)
def test_own_errors(own, code: str, factory: str, message: str, cause: type[BaseException] | None) -> None:
    module, path = own(code), list(sys.path)
    with pytest.raises(UsageError, match=message) as caught:
        build(f"{module}:{factory}", (4,), 10)
    assert "\n" not in str(caught.value)
    assert type(caught.value.__cause__) is (cause or type(None))
    assert sys.path == path


def test_own_module_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"current directory, {tmp_path}"):
        build("no_such_module_at_all:make", (4,), 2)
