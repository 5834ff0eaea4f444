# ruby.rb imap|pop3 OUT, ruby.rb send FROM TO FILE..., ruby.rb append FOLDER FILE..., ruby.rb idle
require "digest"
require "net/imap"
require "net/pop"
require "net/smtp"

HOST, PORT, SECURITY = ENV["HOST"], ENV["PORT"].to_i, ENV["SECURITY"]
USER, PASSWORD = ENV["MAILUSER"], ENV["MAILPASS"]
CA = ENV["CA"]

def login
  m = Net::IMAP.new(HOST, port: PORT, ssl: SECURITY == "tls" ? { ca_file: CA } : false)
  m.starttls({ ca_file: CA }) if SECURITY == "starttls"
  ENV["AUTH"] ? m.authenticate(ENV["AUTH"], USER, PASSWORD) : m.login(USER, PASSWORD)
  m
end

def imap(out)
  m = login
  m.examine("INBOX")
  m.uid_search("ALL").each do |uid|
    IO.binwrite("#{out}/#{uid}", m.uid_fetch(uid, "BODY.PEEK[]")[0].attr["BODY[]"])
  end
  m.logout
end

def append(folder, *files)
  m = login
  m.create(folder)
  files.each { |file| m.append(folder, IO.binread(file)) }
  m.logout
end

def idle
  m = login
  m.examine("INBOX")
  count = m.responses["EXISTS"][-1]
  m.idle do |response|
    puts "idling" if response.is_a?(Net::IMAP::ContinuationRequest)
    $stdout.flush
    m.idle_done if response.respond_to?(:name) && response.name == "EXISTS" && response.data > count
  end
  mail = m.fetch(count + 1, "BODY.PEEK[]")[0].attr["BODY[]"]
  puts "saw #{Digest::SHA256.hexdigest(mail[mail.index("From: sender@")..])}"
  m.logout
end

def pop3(out)
  m = Net::POP3.new(HOST, PORT)
  raise "net/pop has no STLS" if SECURITY == "starttls"
  m.enable_ssl(OpenSSL::SSL::VERIFY_PEER, CA) if SECURITY == "tls"
  m.start(USER, PASSWORD) do
    m.mails.each { |mail| IO.binwrite("#{out}/#{mail.number}", mail.pop) }
  end
end

def send(from, to, *files)
  m = Net::SMTP.new(HOST, PORT)
  context = OpenSSL::SSL::SSLContext.new
  context.set_params(ca_file: CA)
  SECURITY == "tls" ? m.enable_tls(context) : m.disable_tls
  SECURITY == "starttls" ? m.enable_starttls(context) : m.disable_starttls
  m.read_timeout = 120
  m.start("client.example.org", USER, PASSWORD, ENV["AUTH"] || "plain") do
    files.each { |file| m.send_message(IO.binread(file), from, to) }
  end
end

__send__(*ARGV)
