# Ruby's net/ftp over TLS: what tests/integration/test_ftps_clients.py asks of every client.
require "net/ftp"

port, ca, folder, source, count, version = ARGV
version = version == "1.3" ? OpenSSL::SSL::TLS1_3_VERSION : OpenSSL::SSL::TLS1_2_VERSION

Net::FTP.open("localhost", port: port.to_i, username: "ada", password: "lovelace", passive: true,
              ssl: { ca_file: ca, min_version: version, max_version: version },
              open_timeout: 20, read_timeout: 20) do |ftp|
  ftp.chdir(folder)
  (1..count.to_i).each { |number| ftp.putbinaryfile(source, "up-#{number}") }
  puts "listed #{ftp.nlst.length}"
  ftp.getbinaryfile("up-1", "down")
  ftp.resume = true
  ftp.getbinaryfile("up-1", "part")
  ftp.putbinaryfile(source, "half")
  ftp.rename("up-1", "renamed")
end
