"""docs/MATRIX.md, written from the same cells that test_matrix.py checks against the server."""

import itertools

from support.interface import ALGORITHM_LIST, KINDS, OPERATIONS, REFUSED_SPECS, SPECS, USAGES, creation

HEAD = """# What each key can do

Printed by `tests/test_matrix.py`, which checks every cell against the running server and an independent implementation.
Do not edit: `CLAVIGER_TEST_WRITE_MATRIX=1 ./test tests/test_matrix.py` writes it anew. The expectations are
`tests/support/interface.py`.

| In the tables | Answer |
| --- | --- |
| works | success; with the sizes of what goes in or comes out |
| other usage | `InvalidKeyUsageException`, `<key ARN> key usage is <usage> which is not valid for <operation>.` |
| other algorithm | `InvalidKeyUsageException`, `Algorithm <algorithm> is incompatible with key spec <spec>.` |
| not symmetric | `InvalidKeyUsageException` |
| invalid | `ValidationException` |
| unsupported | `UnsupportedOperationException` |
"""

CREATION = """
## CreateKey

Yes: the key is made, and DescribeKey lists the algorithms named in the tables below. No: `ValidationException`,
`KeyUsage <usage> is not compatible with KeySpec <spec>`. Every spec but SYMMETRIC_DEFAULT needs `KeyUsage`:
`ValidationException`, `You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.`

"""


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def text():
    return HEAD + _creation() + "".join(_operation(operation) for operation in OPERATIONS.values())


def _creation():
    rows = []
    for spec in (*SPECS, *REFUSED_SPECS):
        outcomes = (creation(spec, usage) for usage in USAGES)
        words = {"ValidationException": "no", "UnsupportedOperationException": "unsupported", None: "yes"}
        rows.append([spec, *(words[outcome.code] for outcome in outcomes)])
    lists = table(["Key usage", "List in DescribeKey and GetPublicKey"], [[u, ALGORITHM_LIST[u]] for u in USAGES])
    return CREATION + table(["Key spec", *USAGES], rows) + "\n" + lists


def _operation(operation):
    chosen = {"GenerateDataKey": "KeySpec", "GenerateDataKeyPair": "KeyPairSpec"}
    column = chosen.get(operation.name.removesuffix("WithoutPlaintext"), "Algorithm")
    has_choice, has_type = operation.choices != (None,), operation.message_types != (None,)
    head = ["Key", *([column] if has_choice else []), *(operation.message_types if has_type else ["Answer"])]
    rows = []
    for label, lines in _grouped_keys(operation):
        rows += [[label, *([line[0]] if has_choice else []), *line[1]] for line in lines]
    return f"\n## {operation.name}\n\n{table(head, rows)}"


def _grouped_keys(operation):
    """Keys whose rows are the same, together."""
    groups = {}
    for kind in KINDS:
        groups.setdefault(tuple(_rows(operation, kind)), []).append(kind)
    others = [kind for kind in KINDS if kind.usage != operation.usage]
    for lines, kinds in sorted(groups.items(), key=lambda group: group[1] == others):
        if kinds == others:
            yield "every key of another usage", lines
        elif operation.usage:
            yield ", ".join(kind.spec for kind in kinds), lines
        else:
            yield ", ".join(f"{kind.spec} ({kind.usage})" for kind in kinds), lines


def _rows(operation, kind):
    """(choices, answers) with the choices of equal answers joined; what works comes first."""
    lines = {}
    for choice, cells in itertools.groupby(operation.cells(kind), lambda cell: cell.choice):
        answers = tuple(_answer(cell) for cell in cells)
        lines.setdefault(answers, []).append(choice or "")
    ordered = sorted(lines.items(), key=lambda line: not any(answer.startswith("works") for answer in line[0]))
    for answers, choices in ordered:
        whole = len(choices) == len(operation.choices) and len(choices) > 1
        others = len(choices) > 2 and not any(answer.startswith("works") for answer in answers)
        label = "any" if whole else "any other" if others else ", ".join(choices)
        yield label, answers


def _answer(cell):
    outcome = cell.outcome()
    if outcome.code is None:
        return f"works: {outcome.detail}" if outcome.detail else "works"
    if outcome.code == "InvalidKeyUsageException":
        text = outcome.text or "not symmetric"
        return "other usage" if "key usage is" in text else "other algorithm" if "Algorithm" in text else text
    return {"ValidationException": "invalid", "UnsupportedOperationException": "unsupported"}[outcome.code]
