"""Downloads every object under a prefix of a bucket into a folder, which is emptied first.

    s3_download.py ENDPOINT BUCKET PREFIX FOLDER

Needs boto3, which moto brings. An upload that was begun and never completed is no object.
"""

import shutil
import sys
from pathlib import Path

import boto3
from botocore.config import Config


def main():
    endpoint, bucket, prefix, folder = sys.argv[1:]
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    count = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/"):
        for item in page.get("Contents", []):
            to = folder / item["Key"][len(prefix) + 1 :]
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
            count += 1
    print(count, "objects")


if __name__ == "__main__":
    main()
