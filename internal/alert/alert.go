// Package alert warns that a grant will end, or has ended, before the users of the
// mailbox notice: in the log, in its [Snapshot], and by the administrator's hooks:
// a command, a webhook, a mail through a mailbox that works.
//
// Its only source is the store: [Config.Look] turns one account into a
// [Condition], for the command line too. A [Watcher] checks every account each
// half minute by the wall clock: timers stand still while a machine sleeps, and
// grants expire.
//
// A ledger of the alerts sent is kept beside the mailboxes, so that a restart
// repeats none. A mailbox gets one alert, reminders at an interval, and one
// message when it has recovered. Mailboxes with the same trouble share a message;
// those that get the trouble later are collected for a while (see [gather]).
package alert

import (
	"fmt"
	"time"

	"authferry/internal/secret"
)

// Event is the kind of an alert. Its text is stable: it is in the log, in the
// messages to hooks, and a label of metrics.
type Event string

const (
	GrantEnding Event = "grant-ending"     // a person will be needed soon
	GrantEnded  Event = "grant-ended"      // no login works until a person acts
	Refused     Event = "refused-long"     // the provider refuses for a reason other than the grant
	Unreachable Event = "unreachable-long" // no token can be had, for longer than a short outage
	Recovered   Event = "recovered"        // one of the above is over
	Trial       Event = "test"             // `authferry alert test`
)

// Config is the [alert] table. The zero value has no hooks and the
// default times.
type Config struct {
	Command  []string      // program and arguments
	Webhook  secret.String // a secret: anyone who knows it can post there
	MailTo   []string
	MailFrom string        // a connected mailbox; "": any that works
	Ahead    time.Duration // how long before the end of a grant the alert is sent
	Remind   time.Duration // between two messages about the same trouble
	After    time.Duration // how long a token endpoint may be unreachable before the alert
}

// The defaults of [Config].
const (
	DefaultAhead  = 72 * time.Hour
	DefaultRemind = 24 * time.Hour
	DefaultAfter  = time.Hour
)

// WithDefaults returns c with defaults for the values that are not set.
func (c Config) WithDefaults() Config {
	if c.Ahead <= 0 {
		c.Ahead = DefaultAhead
	}
	if c.Remind <= 0 {
		c.Remind = DefaultRemind
	}
	if c.After <= 0 {
		c.After = DefaultAfter
	}
	return c
}

// The hooks by name, as the log and the metrics call them.
const (
	hookCommand = "command"
	hookWebhook = "webhook"
	hookMail    = "mail"
)

// Hooks returns the names of the configured hooks.
func (c Config) Hooks() []string {
	var names []string
	if len(c.Command) > 0 {
		names = append(names, hookCommand)
	}
	if !c.Webhook.Empty() {
		names = append(names, hookWebhook)
	}
	if len(c.MailTo) > 0 {
		names = append(names, hookMail)
	}
	return names
}

// Format prints everything but the address of the webhook.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "hooks %v, ahead %s, remind %s, after %s", c.Hooks(), c.Ahead, c.Remind, c.After)
}

// Name describes a configured hook, without its secrets.
func (c Config) Name(hook string) string {
	switch hook {
	case hookCommand:
		return fmt.Sprintf("command %s", c.Command[0])
	case hookWebhook:
		if u, err := parseWebhook(c.Webhook); err == nil {
			return "webhook " + webhookName(u)
		}
	case hookMail:
		return fmt.Sprintf("mail to %v", c.MailTo)
	}
	return hook
}
