"""Was every byte of a file asked for once? Reads an access log written by service.sh.

log_once.py LOG [--headers BYTES]   one JSON line; exits with 1 if a block was fetched twice

A client may ask twice for the beginning of a file (its header and the overviews in it lie there): what
lies in the first BYTES (default 32768) may overlap, and is counted.
"""
import argparse
import collections
import json
import re
import sys

LINE = re.compile(r'^\S+ "(?:GET|HEAD) (\S+) [^"]*" (\d+) (\d+) "(?:bytes=(\d+)-(\d*))?"')


def main():
    args = argparse.ArgumentParser()
    args.add_argument("log")
    args.add_argument("--headers", type=int, default=32768)
    args = args.parse_args()
    ranges = collections.defaultdict(list)
    requests, sent, refused = 0, 0, 0
    for line in open(args.log):
        found = LINE.match(line)
        if not found or not found[1].endswith(".tif"):
            continue
        requests += 1
        sent += int(found[3])
        if found[2] not in ("200", "206"):
            refused += 1
            continue
        start = int(found[4] or 0)
        ranges[found[1]].append((start, start + int(found[3])))
    twice, in_headers = [], 0
    distinct = 0
    for path, parts in ranges.items():
        end = 0
        for start, stop in sorted(parts):
            common = min(end, stop) - start
            distinct += stop - max(start, min(end, stop))
            if common > 0:
                if start < args.headers:
                    in_headers += common
                else:
                    twice.append(f"{path} {start}-{stop}")
            end = max(end, stop)
    print(json.dumps({
        "files": len(ranges), "requests": requests, "refused": refused, "bytes": sent,
        "distinct_bytes": distinct, "bytes_twice_in_headers": in_headers, "ranges_twice": len(twice),
    }))
    for line in twice[:20]:
        print("twice:", line, file=sys.stderr)
    sys.exit(1 if twice else 0)


main()
