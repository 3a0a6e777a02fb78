"""A table of networks: accuracy on images, under attack (PGD, 10 steps, Linf), and on corrupted images.

    ventral corrupt tiny-imagenet-200.zip --output corrupted --limit 1000
    python3 v1_table.py tiny-imagenet-200.zip corrupted NAME=MODEL...

The attack is on 1,000 images, evenly spaced. Prints Markdown. `ventral` must be on the PATH.
"""
import json
import subprocess
import sys

EPSILONS = [1, 2, 4]  # grey levels


def ventral(*arguments):
    command = ["ventral", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def percent(fraction):
    return f"{100 * fraction:.1f}"


def row(images, corrupted, name, model):
    parameters = ventral("info", model)["parameters"]
    clean = ventral("evaluate", model, "--images", images, "--transform", "tiny")["clean"]
    attacked = ventral("attack", model, "--images", images, "--transform", "tiny", "--limit", 1000,
                       "--epsilon", ",".join(map(str, EPSILONS)))["results"][1:]
    robust = ventral("evaluate", model, "--corrupted", corrupted)["mean_top1"]
    cells = [name, f"{parameters:,}", percent(clean["top1"]), percent(clean["top5"])]
    cells += [percent(result["top1"]) for result in attacked] + [percent(robust)]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    images, corrupted = sys.argv[1:3]
    heads = ["network", "parameters", "top-1", "top-5"]
    heads += [f"PGD {e}/255" for e in EPSILONS] + ["corrupted"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for argument in sys.argv[3:]:
        name, model = argument.split("=", 1)
        row(images, corrupted, name, model)


if __name__ == "__main__":
    main()
