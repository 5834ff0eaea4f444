package check

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// send sends a small mail.
func (v *visit) send(client *smtp.Client) finding {
	id := rand.Text()
	message := strings.Join([]string{
		"From: <" + v.grant.Mailbox + ">",
		"To: <" + v.sendTo + ">",
		"Subject: authferry check",
		"Date: " + time.Now().Format(time.RFC1123Z),
		"Message-ID: <" + id + "@check.authferry>",
		"Auto-Submitted: auto-generated", // RFC 3834 §5: no vacation notice, please
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"",
		fmt.Sprintf("authferry check sent this as %s. Nothing needs to be done about it.", v.grant.Mailbox),
		"",
	}, "\r\n")
	if err := client.SendMail(v.grant.Mailbox, []string{v.sendTo}, strings.NewReader(message)); err != nil {
		f := v.refused("", err)
		f.fix = "see whether " + v.grant.Mailbox + " may send to " + v.sendTo + " at all: try it in the provider's own web mail"
		return f
	}
	return fine("")
}
