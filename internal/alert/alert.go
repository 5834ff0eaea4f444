// Package alert says that a grant will end, or has ended, before the users of
// the mailbox notice: in the log, in its [Snapshot], and by hooks of the
// administrator's: a command, a webhook, a mail through a mailbox that works.
//
// All it knows is in the store: [Look] turns one account into a [Condition],
// for the command line too. A [Watcher] looks at every account each half
// minute, by the wall clock: timers stand still while a machine sleeps, and a
// grant does not.
//
// What was said is kept beside the mailboxes, so that a restart says nothing
// twice. A mailbox is said once, then reminded of at an interval, and taken
// back once. Mailboxes with one trouble in common are one message; those that
// join them later wait for each other a little (see [gather]).
package alert

import (
	"fmt"
	"time"

	"authferry/internal/secret"
)

// Event is what is said of a mailbox. Its text is stable: it is in the log, in
// what hooks are given, and a label of metrics.
type Event string

const (
	GrantEnding Event = "grant-ending"     // a person will be needed soon
	GrantEnded  Event = "grant-ended"      // nobody gets in before a person acts
	Refused     Event = "refused-long"     // the provider refuses for a reason other than the grant
	Unreachable Event = "unreachable-long" // no token can be had, and it does not look like a blip any more
	Recovered   Event = "recovered"        // takes back one of the above
	Trial       Event = "test"             // `authferry alert test`
)

// Config is the [alert] table. The zero value has no hooks, and says things at
// the default times.
type Config struct {
	Command  []string      // program and arguments
	Webhook  secret.String // whoever knows such an address may post there
	MailTo   []string
	MailFrom string        // a connected mailbox; "": any that works
	Ahead    time.Duration // how long before its end a grant is said to end
	Remind   time.Duration // between two messages about the same
	After    time.Duration // how long a token endpoint may be out of reach before it is said
}

// The defaults of [Config].
const (
	DefaultAhead  = 72 * time.Hour
	DefaultRemind = 24 * time.Hour
	DefaultAfter  = time.Hour
)

// WithDefaults puts the defaults where nothing is said.
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

// Hooks names the hooks that are configured.
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

// Format keeps the address of the webhook out of print.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "hooks %v, ahead %s, remind %s, after %s", c.Hooks(), c.Ahead, c.Remind, c.After)
}

// Name says what a hook of a configuration leads to, as far as it may be
// printed.
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
