import jakarta.mail.*;
import jakarta.mail.internet.*;
import java.io.*;
import java.nio.file.*;
import java.util.*;

/** RealMail imap|pop3 OUT, RealMail send FROM TO FILE..., RealMail append FOLDER FILE..., RealMail list */
public class RealMail {
    static final Map<String, String> env = System.getenv();
    static final String host = env.get("HOST"), user = env.get("MAILUSER"), password = env.get("MAILPASS");
    static final int port = Integer.parseInt(env.get("PORT"));

    public static void main(String[] a) throws Exception {
        if (a[0].equals("send")) send(a[1], a[2], Arrays.asList(a).subList(3, a.length));
        else if (a[0].equals("append")) append(a[1], Arrays.asList(a).subList(2, a.length));
        else if (a[0].equals("list")) list();
        else fetch(a[0], Path.of(a[1]));
    }

    static Session session(String protocol) {
        String p = "mail." + protocol + ".", security = env.get("SECURITY");
        Properties q = new Properties();
        q.put(p + "ssl.enable", "" + security.equals("tls"));
        q.put(p + "ssl.checkserveridentity", "true");
        q.put(p + "starttls.enable", "" + security.equals("starttls"));
        q.put(p + "starttls.required", "" + security.equals("starttls"));
        q.put(p + "auth", "true");
        q.put(p + "timeout", "120000");
        q.put(p + "localhost", "client.example.org");
        q.put("mail.imap.partialfetch", "true"); // as everybody leaves it
        Session s = Session.getInstance(q);
        s.setDebug(env.containsKey("DEBUG"));
        return s;
    }

    static void fetch(String protocol, Path out) throws Exception {
        try (Store store = session(protocol).getStore(protocol)) {
            store.connect(host, port, user, password);
            try (Folder inbox = store.getFolder("INBOX")) {
                inbox.open(Folder.READ_ONLY);
                for (Message m : inbox.getMessages()) {
                    try (OutputStream f = new BufferedOutputStream(Files.newOutputStream(out.resolve("" + m.getMessageNumber())))) {
                        m.writeTo(f);
                    }
                }
            }
        }
    }

    static void append(String name, List<String> files) throws Exception {
        Session s = session("imap");
        try (Store store = s.getStore("imap")) {
            store.connect(host, port, user, password);
            Folder folder = store.getFolder(name);
            folder.create(Folder.HOLDS_MESSAGES);
            for (String file : files)
                try (InputStream in = Files.newInputStream(Path.of(file))) {
                    folder.appendMessages(new Message[] {new MimeMessage(s, in)});
                }
        }
    }

    /** The names of all folders, decoded. */
    static void list() throws Exception {
        try (Store store = session("imap").getStore("imap")) {
            store.connect(host, port, user, password);
            PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
            for (Folder f : store.getDefaultFolder().list("*")) out.println(f.getFullName());
        }
    }

    static void send(String from, String to, List<String> files) throws Exception {
        Session s = session("smtp");
        try (Transport t = s.getTransport("smtp")) {
            t.connect(host, port, user, password);
            for (String file : files)
                try (InputStream in = Files.newInputStream(Path.of(file))) {
                    t.sendMessage(new MimeMessage(s, in), new Address[] {new InternetAddress(to)});
                }
        }
    }
}
