package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// readWebhook reads the address to post to: whoever knows it may post there,
// so it may lie in a file of its own, and no complaint repeats it.
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
