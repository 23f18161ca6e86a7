"""One line a run, and a table of them; used by run.sh.

compare.py ours WORK STORE MODE SIDE   after a run of ours: its result, its time, its window, its log
compare.py peer WORK                   after a run of a peer
compare.py table LINES                 medians, ratios, and whether all agree on the pixels
"""
import json
import os
import statistics
import subprocess
import sys


def timed(work):
    wall, user, system, rss = open(os.path.join(work, "time")).read().split()[-4:]
    return {"process_s": float(wall), "cpu_s": float(user) + float(system), "rss_mb": int(rss) / 1e3}


def last_json(path):
    lines = [line for line in open(path) if line.startswith("{")]
    return json.loads(lines[-1])


def ours(work, store, mode, side):
    result = last_json(os.path.join(work, "result"))
    line = {"tool": "surco", "wall": result["seconds"], "holes": result["holes"], **timed(work)}
    here = os.path.dirname(os.path.abspath(__file__))
    if mode == "cube":
        window = [sys.executable, os.path.join(here, "window.py"), "count", store, "1400", "1400", side]
        line |= json.loads(subprocess.check_output(window))
    log = os.path.join(work, "nginx", "access.log")
    once = subprocess.run([sys.executable, os.path.join(here, "log_once.py"), log], capture_output=True)
    line["log"] = json.loads(once.stdout.splitlines()[-1])
    line["blocks"] = result["blocks"]
    print(json.dumps(line))


def peer(work):
    result = last_json(os.path.join(work, "result"))
    keep = {key: result[key] for key in ("tool", "wall", "sum", "nonzero", "wins", "w")}
    print(json.dumps(keep | timed(work)))


def table(path):
    runs = {}
    for line in open(path):
        line = json.loads(line)
        runs.setdefault(line["tool"], []).append(line)
    mine = runs["surco"]
    median = lambda lines, key: statistics.median(line[key] for line in lines)
    base = median(mine, "process_s")
    print("| tool | runs | wall s | of ours | whole process s | CPU s | memory MB | sum | non-zero |")
    print("|---|---|---|---|---|---|---|---|---|")
    for tool, lines in runs.items():
        if tool == "inflate_floor":
            continue
        # A peer's own clock leaves its imports out; ours is the whole process against it.
        wall = base if tool == "surco" else median(lines, "wall")
        print(
            f"| {tool} | {len(lines)} | {wall:.2f} | {wall / base:.2f} | {median(lines, 'process_s'):.2f} "
            f"| {median(lines, 'cpu_s'):.1f} | {median(lines, 'rss_mb'):.0f} "
            f"| {lines[0].get('sum', '')} | {lines[0].get('nonzero', '')} |"
        )
    if "inflate_floor" in runs:
        floor = runs["inflate_floor"]
        wall = median(floor, "wall")
        print(f"\nFloor: {floor[0]['blocks']} blocks, {floor[0]['raw_gb']:.2f} GB inflated by "
              f"{floor[0]['threads']} threads in {wall:.2f} s ({floor[0]['raw_gb'] / wall:.2f} GB/s); "
              f"ours is at {100 * wall / base:.0f} % of it.")
    if "cell_pixels" in mine[0]:
        print(f"\nOurs keeps whole cells: {mine[0]['cell_pixels']} pixels a date, "
              f"{1e9 * base / mine[0]['cell_pixels']:.0f} ns each.")
    print(f"\nLog of ours: {json.dumps(mine[0]['log'])}, {mine[0]['blocks']} blocks")
    faults = [f"{tool}: {key} {line[key]} is not {mine[0][key]}"
              for tool, lines in runs.items() for line in lines for key in ("sum", "nonzero")
              if key in line and key in mine[0] and line[key] != mine[0][key]]
    faults += ["ours fetched ranges twice" for line in mine if line["log"]["ranges_twice"]]
    faults += ["ours has holes" for line in mine if line["holes"]]
    for fault in faults:
        print("FAULT", fault)
    sys.exit(1 if faults else 0)


{"ours": ours, "peer": peer, "table": table}[sys.argv[1]](*sys.argv[2:])
