"""The reference pages, made from the code. `make docs` writes them; a test says when one is out of date."""

import ast
import inspect
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE = "Made by `make docs` from the code."
EXPLAINED = ("Space", "Parameter", "Option")
"""What the page on experiment.yaml tells better than a table."""
LONGEST_DEFAULT = 60


def keys():
    """Every key of experiment.yaml, from the models' own JSON Schema."""
    from hpcho.experiment import json_schema

    schema = json_schema()
    places = dict(_places(schema["properties"], schema["$defs"], ""))
    sections = ["# All keys of experiment.yaml", f"{MADE} [experiment.yaml](../experiment.md) explains them."]
    sections += ["## The file", _table(schema["properties"], places)]
    for name, place in places.items():
        sections.append(f"## {place}")
        for form in schema["$defs"][name].get("anyOf", [schema["$defs"][name]]):  # a short form, and the whole mapping
            short = f"In short: {_kind(form, places)}." if "enum" in form else ""
            sections += [short, _prose(form.get("description", ""))]
            sections.append(_table(form["properties"], places) if form.get("properties") else "")
    return "\n\n".join(filter(None, sections)) + "\n"


def _places(properties, models, above):
    """(model, the dotted key that it stands under), outer ones first."""
    for key, field in properties.items():
        for form in field.get("anyOf", [field]):
            name = form.get("$ref", "").rpartition("/")[2]
            if not name or name in EXPLAINED:
                continue
            place = f"{above}{key}"
            yield name, place
            for inner in models[name].get("anyOf", [models[name]]):
                yield from _places(inner.get("properties", {}), models, f"{place}.")


def _table(properties, places):
    lines = ["| key | kind | default | meaning |", "|---|---|---|---|"]
    for key, field in properties.items():
        default = json.dumps(field["default"]) if "default" in field and "$ref" not in field else ""
        shown = f"`{default}`" if default and len(default) < LONGEST_DEFAULT else ""
        said = [form["description"] for form in (field, *field.get("anyOf", ())) if "description" in form][:1]
        meaning = _prose("".join(said))
        lines.append(f"| `{key}` | {_cell(_kind(field, places))} | {shown} | {_cell(meaning)} |")
    return "\n".join(lines)


def _kind(field, places):
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        place = places.get(name)
        return f"[{place}](#{place.replace('.', '')})" if place else name.lower()
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(option, places) for option in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), places)}"
    return {"object": "mapping", None: "any"}.get(field.get("type"), field.get("type"))


def _prose(text):
    return " ".join(inspect.cleandoc(text).replace("``", "`").split())


def _cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def errors():
    """The error tree, and what the command line exits with."""
    from hpcho import errors as module

    tree = inspect.getdoc(module)
    lines = [
        "# Errors and exit codes",
        MADE,
        "```\n" + tree.split("\n\n")[1] + "\n```",
        tree.split("\n\n")[-1].replace("``", "`"),
    ]
    lines.append("From the command line each is one message on stderr, and an exit code. `--debug` adds the traceback.")
    rows = ["| error | exit code | meaning |", "|---|---|---|"]
    found = [
        thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, module.HpchoError)
    ]
    rows += [f"| `{e.__name__}` | {e.exit_code} | {_cell(_prose(e.__doc__))} |" for e in found]
    return "\n\n".join([*lines, "\n".join(rows)]) + "\n"


def python():
    """The names that a user of Python has."""
    sections = ["# Python", MADE]
    for file, names in (
        ("hpcho/api/running.py", ["run"]),
        ("hpcho/api/results.py", ["load", "Results"]),
        ("hpcho/worker/context.py", ["*"]),
        ("hpcho/keras.py", ["TrialCallback"]),
    ):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        where = {"hpcho/worker/context.py": "trial", "hpcho/keras.py": "hpcho.keras"}.get(file, "hpcho")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and _is_shown(node, names):
                sections += _described(node, where)
    return "\n\n".join(sections) + "\n"


def _is_shown(node, names):
    return node.name in names or (names == ["*"] and not node.name.startswith("_") and isinstance(node, ast.ClassDef))


def _described(node, where):
    if isinstance(node, ast.FunctionDef):
        yield f"## {where}.{node.name}"
        yield f"```python\n{_signature(node)}\n```"
        yield _paragraphs(node)
        return
    yield "## The trial that an objective is given" if where == "trial" else f"## {where}.{node.name}"
    yield _paragraphs(node)
    inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    if where == "hpcho.keras" and inits:
        yield f"```python\n{_signature(inits[0]).replace('__init__', node.name)}\n```"
        return
    rows = ["| | |", "|---|---|"]
    docs = zip(node.body, [*node.body[1:], None], strict=True)
    for item, after in docs:
        if isinstance(item, ast.FunctionDef) and (not item.name.startswith("_") or item.name == "_repr_html_"):
            is_property = any(ast.unparse(line) == "property" for line in item.decorator_list)
            shown = ("trial." if where == "trial" else ".") + item.name + ("" if is_property else _arguments(item))
            rows.append(f"| `{shown}` | {_cell(_prose(ast.get_docstring(item) or ''))} |")
        elif isinstance(item, ast.AnnAssign) and not item.target.id.startswith("_") and isinstance(after, ast.Expr):
            rows.append(f"| `.{item.target.id}` | {_cell(_prose(after.value.value))} |")
    yield "\n".join(rows)


def _arguments(function):
    arguments = ast.unparse(function.args).removeprefix("self").removeprefix(", ")
    return f"({arguments})".replace("|", "or")


def _signature(function):
    text = ast.unparse(function.args).removeprefix("self, ")
    returns = f" -> {ast.unparse(function.returns)}" if function.returns and function.name != "__init__" else ""
    return f"{function.name}({text}){returns}"


def _paragraphs(node):
    return (ast.get_docstring(node) or "").replace("``", "`")


PAGES = {
    "docs/reference/keys.md": keys,
    "docs/reference/errors.md": errors,
    "docs/reference/python.md": python,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (ROOT / page).write_text(make(), encoding="utf-8")
