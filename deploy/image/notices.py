"""What the program consists of: an SBOM (CycloneDX 1.5, sbom.cdx.json) and the licence texts (THIRD-PARTY.txt).

Read from `cargo metadata` and from the crates' own files. Only what is linked in counts: procedural macros and build
scripts are tools, and leave nothing of theirs behind. Fails when a licence text cannot be found.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
RULE = "=" * 100
# Linked in statically by the compiler, so that cargo does not know of them.
SYSTEM = [
    ("glibc", "libc6-dev", "LGPL-2.1-or-later", "/usr/share/doc/libc6-dev/copyright"),
    ("libgcc", "libgcc-12-dev", "GPL-3.0-or-later WITH GCC-exception-3.1", "/usr/share/doc/gcc-12-base/copyright"),
]
RELINK = """\
Rust's standard library is part of it (MIT or Apache-2.0, https://github.com/rust-lang/rust/blob/main/COPYRIGHT).
glibc is linked statically. Its source is https://ftp.gnu.org/gnu/glibc/ and that of your distribution; this program's
own source is complete and public, so that it can be linked again with another version (LGPL-2.1, section 6).
"""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", required=True)
    options.add_argument("--into", required=True, type=Path)
    options = options.parse_args()
    crates = linked(metadata(options.target), tree(options.target))
    options.into.mkdir(parents=True, exist_ok=True)
    (options.into / "sbom.cdx.json").write_text(json.dumps(bill(crates), indent=1, sort_keys=True) + "\n")
    (options.into / "THIRD-PARTY.txt").write_text(notices(crates))


def metadata(target):
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def tree(target):
    """Names and versions of what is linked in. The graph above is of the whole workspace: its tests switch on more."""
    command = ["cargo", "tree", "--locked", "--package=attache", "--edges=normal,no-proc-macro", "--prefix=none"]
    command += [f"--target={target}", "--format={p}"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {tuple(line.split()[:2]) for line in lines if line}


def linked(graph, wanted):
    """The packages in the program, its own first, then by name: each with the packages that it links."""
    packages = {package["id"]: package for package in graph["packages"]}
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    start = next(it for it, package in packages.items() if package["name"] == "attache" and not package["source"])
    found, waiting = {}, [start]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        links = [it["pkg"] for it in nodes[here]["deps"] if is_ordinary(it)]
        found[here] = sorted(it for it in links if named(packages[it]) in wanted)
        waiting += found[here]
    order = sorted(found, key=lambda it: (it != start, packages[it]["name"], packages[it]["version"]))
    return [(packages[it], [packages[dependency] for dependency in found[it]]) for it in order]


def is_ordinary(dependency):
    return any(kind["kind"] is None for kind in dependency["dep_kinds"])


def named(package):
    return package["name"], f"v{package['version']}"


def bill(crates):
    (root, _), *rest = crates
    lock = checksums()
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(root, lock), "type": "application"},
        },
        "components": [component(package, lock) for package, _ in rest] + system_components(),
        "dependencies": [
            {"ref": purl(package), "dependsOn": [purl(it) for it in links]} for package, links in crates
        ],
    }


def component(package, lock):
    sha256 = lock.get((package["name"], package["version"]))
    told = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "licenses": [{"expression": expression(package)}],
    }
    if sha256:
        told["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return told


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def expression(package):
    """An SPDX expression; some crates still write the old slash."""
    return " OR ".join(part.strip() for part in (package["license"] or "NOASSERTION").split("/"))


def checksums():
    blocks = (ROOT / "Cargo.lock").read_text().split("[[package]]")[1:]
    fields = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.MULTILINE)) for block in blocks]
    return {(it["name"], it["version"]): it["checksum"] for it in fields if "checksum" in it}


def system_components():
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:deb/debian/{package}@{version(package)}",
            "name": name,
            "version": version(package),
            "licenses": [{"expression": licence}],
        }
        for name, package, licence, _ in present_system()
    ]


def present_system():
    return [it for it in SYSTEM if version(it[1])]


def version(package):
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    try:
        return subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    except FileNotFoundError:
        return ""


def notices(crates):
    """Every text once, under the names of all that come with it."""
    owners, texts = {}, {}
    for package, _ in crates:
        if not package["source"]:
            continue
        for text in licence_texts(package):
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            texts.setdefault(key, text.strip())
            owners.setdefault(key, []).append(f"{package['name']} {package['version']} ({expression(package)})")
    parts = ["Attaché is linked with the work of others. These are their licences.\n\n" + RELINK]
    parts += [f"{RULE}\n{chr(10).join(owners[key])}\n{RULE}\n\n{texts[key]}\n" for key in texts]
    parts += [f"{RULE}\n{name} ({licence})\n{RULE}\n\n{Path(file).read_text(errors='replace')}\n"
              for name, _, licence, file in present_system() if Path(file).exists()]
    return "\n".join(parts)


def licence_texts(package):
    folder = Path(package["manifest_path"]).parent
    files = sorted(it for it in folder.iterdir() if it.is_file() and TEXT.match(it.name))
    if files:
        return [file.read_text(errors="replace") for file in files]
    if "Apache-2.0" in (package["license"] or ""):
        return [(ROOT / "LICENSE").read_text()]
    authors = ", ".join(package["authors"]) or f"the authors of {package['name']}"
    if "MIT" in (package["license"] or ""):
        return [MIT.format(authors=authors)]
    sys.exit(f"notices: {package['name']} {package['version']} ({package['license']}) has no licence text")


MIT = """\
MIT License

Copyright (c) {authors}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


if __name__ == "__main__":
    main()
