// Node's basic-ftp over TLS: what tests/integration/test_ftps_clients.py asks of every client.
const fs = require("fs")
const ftp = require("basic-ftp")

const [port, ca, folder, source, count, version] = process.argv.slice(2)

async function main() {
    const client = new ftp.Client(20000)
    await client.access({
        host: "localhost", port: Number(port), user: "ada", password: "lovelace", secure: true,
        secureOptions: {
            ca: fs.readFileSync(ca), minVersion: "TLSv" + version, maxVersion: "TLSv" + version,
        },
    })
    await client.cd(folder)
    for (let number = 1; number <= Number(count); number++) {
        await client.uploadFrom(source, "up-" + number)
    }
    console.log("listed " + (await client.list()).length)
    await client.downloadTo("down", "up-1")
    await client.downloadTo("part", "up-1", fs.statSync("part").size)
    await client.appendFrom(source, "half", { localStart: await client.size("half") })
    await client.rename("up-1", "renamed")
    client.close()
}

main().catch((error) => {
    console.error(error)
    process.exit(1)
})
