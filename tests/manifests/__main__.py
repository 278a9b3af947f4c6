"""Holds the manifests, the image, docker-compose.yml, the alerts and the dashboards against the
tools and rules that they have to pass, and prints a table of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import broken
import generated
from checks import boards, containers, network, pods, routes, schemas, watching, wiring
from rendered import Rendered, render
from report import Report
from repository import Repository

KUSTOMIZATIONS = ("k8s/base", "k8s/overlays/small", "k8s/overlays/production")

# What each of them says of itself is in the first line of the function.
POLICIES = (
    pods.restricted,
    pods.probes,
    pods.resources,
    pods.grace,
    pods.rollout,
    pods.connections,
    wiring.roles,
    wiring.release,
    wiring.selectors,
    wiring.scaling,
    wiring.settings,
    wiring.references,
    network.denied,
    network.peers,
    network.internet,
    network.servers,
    routes.routed,
    boards.scraped_once,
    boards.data_sources,
)


def main() -> int:
    arguments = parsed_arguments()
    repository = Repository(Path(__file__).resolve().parents[2])
    if arguments.write:
        generated.write(repository.root)
        return 0
    report = Report()
    with ThreadPoolExecutor(max_workers=2) as pool:
        check(repository, arguments.tools, watching.begin_tests(repository.root, pool), report)
    return 0 if report.close() else 1


def check(
    repository: Repository, tools: Path, tests: list[Future[list[str]]], report: Report
) -> None:
    with report.looking_at("generated files"):
        stale = generated.stale(repository.root)
        report.add(
            "generated files are fresh", "our own", len(generated.files(repository.root)), stale
        )
    every = rendered(tools, repository, report)
    with report.looking_at("schemas"):
        schemas.check(every, tools, report)
    for policy in POLICIES:
        sentence = (policy.__doc__ or "").splitlines()[0].rstrip(".")
        with report.looking_at(sentence):
            found = [
                f"{it.name}: {complaint}" for it in every for complaint in policy(it, repository)
            ]
            report.add(sentence, "our own", sum(len(it.resources) for it in every), found)
    with report.looking_at("image and compose"):
        containers.check(repository, tools, report)
    with report.looking_at("alerts and dashboards"):
        watching.check(every, repository, tests, report)
    with report.looking_at("queries of the tenants' board"):
        boards.check(report)
    with report.looking_at("these checks see what is broken"):
        report.add(
            "these checks see what is broken",
            "our own",
            *broken.unseen(every, repository, tools),
        )


def rendered(tools: Path, repository: Repository, report: Report) -> list[Rendered]:
    every, complaints = [], []
    for path in KUSTOMIZATIONS:
        try:
            every.append(
                render(tools / "venv/bin/kubectl", repository.root / path, repository.root)
            )
        except subprocess.CalledProcessError as error:
            complaints.append(f"{path}: {error.stderr}")
    report.add("base and overlays can be built", "kubectl kustomize", len(every), complaints)
    return every


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/manifests", description=__doc__)
    parser.add_argument(
        "--tools", type=Path, required=True, help="where install-manifest-tools.sh put them"
    )
    parser.add_argument(
        "--write", action="store_true", help="write the generated files, and do nothing else"
    )
    arguments = parser.parse_args()
    arguments.tools = arguments.tools.resolve()
    return arguments


if __name__ == "__main__":
    sys.exit(main())
