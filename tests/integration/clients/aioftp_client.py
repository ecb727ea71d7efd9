"""
aioftp over TLS: what C{tests/integration/test_ftps_clients.py} asks of every client.
"""

import asyncio
import ssl
import sys
from pathlib import Path

import aioftp


async def main(
    port: str, authority: str, folder: str, source: str, count: str, version: str
) -> None:
    context = ssl.create_default_context(cafile=authority)
    wanted = ssl.TLSVersion.TLSv1_3 if version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = wanted
    client = aioftp.Client(socket_timeout=20)
    await client.connect("localhost", int(port))
    await client.upgrade_to_tls(context)
    await client.login("ada", "lovelace")
    await client.change_directory(folder)
    for number in range(1, int(count) + 1):
        await client.upload(source, f"up-{number}", write_into=True)
    print("listed", len(await client.list()))
    await client.download("up-1", "down", write_into=True)
    data = Path(source).read_bytes()
    half = len(data) // 2
    async with client.download_stream("up-1", offset=half) as download:
        with open("part", "ab") as file:
            file.write(await download.read())
    async with client.append_stream("half") as upload:
        await upload.write(data[half:])
    await client.rename("up-1", "renamed")
    await client.quit()


asyncio.run(main(*sys.argv[1:]))
