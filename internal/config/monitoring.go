package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"authferry/internal/address"
	"authferry/internal/alert"
	"authferry/internal/config/document"
	"authferry/internal/secret"
)

// readAlert reads when to say that a mailbox needs a person, and to whom.
func readAlert(t *document.Table) alert.Config {
	c := alert.Config{
		Command:  readAlertCommand(t),
		Webhook:  readWebhook(t),
		MailFrom: t.Text("mail_from", ""),
		Ahead:    t.Duration("ahead", alert.DefaultAhead),
		Remind:   t.Duration("remind", alert.DefaultRemind),
		After:    t.Duration("after", alert.DefaultAfter),
	}
	for i, to := range t.Texts("mail_to") {
		if err := address.Check(to); err != nil {
			t.ComplainAt("mail_to", i, err.Error(), "")
			continue
		}
		c.MailTo = append(c.MailTo, to)
	}
	if c.MailFrom != "" {
		if err := address.Check(c.MailFrom); err != nil {
			t.Complain("mail_from", err.Error(), "a mailbox that is connected")
		}
		if !t.Has("mail_to") {
			t.Complain("mail_from", "mail_to is missing", "it says who gets the mail")
		}
	}
	t.Done()
	return c
}

// readAlertCommand reads a program with its arguments, and sees that it is there.
func readAlertCommand(t *document.Table) []string {
	command := t.Texts("command")
	if len(command) == 0 {
		return nil
	}
	program := command[0]
	if strings.ContainsRune(program, filepath.Separator) {
		program = t.Resolve(program)
	}
	if _, err := exec.LookPath(program); err != nil {
		t.ComplainAt("command", 0, fmt.Sprintf("there is no program %s that can be run", program),
			`there is no shell: write ["/path/of/program", "argument", "argument"]`)
		return nil
	}
	return append([]string{program}, command[1:]...)
}

// readWebhook reads the address to post to. It is a secret: anyone who
// knows it can post there. So it may be in a file of its own, and no complaint
// repeats it.
func readWebhook(t *document.Table) secret.String {
	key, address := "webhook", secret.String(t.Text("webhook", ""))
	if path := t.File("webhook_file"); path != "" {
		key = "webhook_file"
		if !address.Empty() {
			t.Complain(key, "names the webhook a second time", "keep one of webhook and webhook_file")
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Complain(key, err.Error(), "")
			return ""
		}
		address = secret.String(strings.TrimSpace(string(content)))
	} else if address.Empty() {
		return ""
	}
	if err := alert.CheckWebhook(address); err != nil {
		t.Complain(key, err.Error(), "")
	}
	return address
}

// auditSize is the default limit of the record of logins: about 20,000 logins,
// and as many failures.
const auditSize = 10_000_000

// readAudit reads the limit of the record of logins; 0: no record.
func readAudit(t *document.Table) int64 {
	defer t.Done()
	text := t.Text("max_size", "10MB")
	n, err := parseSize(text)
	switch {
	case err != nil:
		t.Complain("max_size", "must be a size in quotes", `such as "10MB" or "500kB"; "0" keeps no record`)
	case n != 0 && n < leastAudit:
		t.Complain("max_size", "is too little for a record of logins", `"100kB" or more; "0" keeps no record`)
	default:
		return n
	}
	return auditSize
}

// leastAudit leaves each of the record's four files room for some lines.
const leastAudit = 100_000

// sizeUnits are powers of 1000, as disks are sold.
var sizeUnits = []struct {
	name string
	size int64
}{{"kB", 1000}, {"MB", 1000_000}, {"GB", 1000_000_000}, {"", 1}}

var errSize = errors.New("not a size")

// parseSize reads a number of bytes such as "10MB", in any case.
func parseSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		digits, ok := cutSuffixFold(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 31)
		if err != nil {
			return 0, errSize
		}
		return int64(n) * unit.size, nil
	}
	return 0, errSize
}

func cutSuffixFold(s, suffix string) (string, bool) {
	i := len(s) - len(suffix)
	if i < 0 || !strings.EqualFold(s[i:], suffix) {
		return s, false
	}
	return s[:i], true
}

// MonitorPort is the default port of the monitor.
const MonitorPort = 8026

// ReadMonitor reads the address of the monitor, host:port, or "" if it is
// turned off.
func ReadMonitor(t *document.Table) string {
	text := t.Text("monitor", "")
	if text == "" {
		return ""
	}
	address, err := parseMonitor(text)
	if err != nil {
		t.Complain("monitor", err.Error(), `such as "http://127.0.0.1:8026"; "" is none`)
		return ""
	}
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		t.Warn(fmt.Sprintf("monitor: anyone who can reach %s reads how many sessions there are and which mailboxes need a person: "+
			"let only your monitors reach it, or set monitor_mailboxes = false", text))
	}
	return address
}

func parseMonitor(text string) (string, error) {
	rest, found := strings.CutPrefix(text, "http://")
	if !found {
		return "", errors.New("a monitor is asked over http://")
	}
	u, err := url.Parse("monitor://" + rest)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the URL of the monitor has an address and a port, and nothing else")
	}
	host, port, err := listenAddress(u, MonitorPort)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// MonitorURL returns the URL to ask a monitor at from this machine. It has no
// host name, since a container without /etc/hosts may not know localhost. A
// listener at [::] accepts IPv4 too.
func MonitorURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
