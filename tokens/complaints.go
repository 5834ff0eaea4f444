package tokens

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"authferry/internal/hint"
	"authferry/internal/protocol"
)

// The fields of a [PasswordSpec] in a [Complaint].
const (
	FieldName       = "name"
	FieldPreset     = "password"
	FieldLength     = "length"
	FieldProtocols  = "protocols"
	FieldNetworks   = "networks"
	FieldExpires    = "expires"
	FieldReadOnly   = "read-only"
	FieldMessages   = "messages-per-hour"
	FieldRecipients = "recipients"
)

const (
	minLength = 12
	// maxPreset bounds a chosen password: servers of PLAIN need not accept more
	// than 255 octets (RFC 4616 §2).
	maxPreset = 255
	maxName   = 64
	maxLength = 128
	// maxMessages bounds the messages per hour, each of which takes memory for that
	// hour, and maxRecipients the recipients of one message. Providers accept far
	// fewer.
	maxMessages   = 10_000
	maxRecipients = 10_000
)

// numberRanges are the least and the most that a field takes.
var numberRanges = map[string][2]int{
	FieldLength: {minLength, maxLength}, FieldMessages: {1, maxMessages}, FieldRecipients: {1, maxRecipients},
}

// Complaint names a rule of local passwords that a [PasswordSpec] breaks.
type Complaint struct {
	Field       string
	Rule        string // the key of the console's text
	Least, Most int    // for rules with a range
	What, Hint  string // what is wrong and what to do, in English
}

// Complaints are all rules that a [PasswordSpec] breaks, in the order of its fields.
type Complaints []Complaint

func (cs Complaints) Error() string {
	texts := make([]string, len(cs))
	for i, c := range cs {
		texts[i] = c.What
	}
	return strings.Join(texts, "; ")
}

// Check reports all rules that the specification breaks. The error holds
// [Complaints].
func (s *PasswordSpec) Check(now time.Time) error {
	var all Complaints
	add := func(c *Complaint) {
		if c != nil {
			all = append(all, *c)
		}
	}
	add(s.checkName())
	add(s.checkPreset())
	if s.Length != 0 {
		add(CheckNumber(FieldLength, s.Length))
	}
	add(s.checkProtocols())
	for _, n := range s.Networks {
		if !n.IsValid() {
			add(&Complaint{Field: FieldNetworks, Rule: "nonetwork", What: "a network is not valid", Hint: "write it as 192.0.2.0/24"})
			break
		}
	}
	if !s.Expires.IsZero() && !s.Expires.After(now) {
		add(&Complaint{Field: FieldExpires, Rule: "noday", What: "the password would have expired already, at " + s.Expires.Format(time.RFC3339), Hint: "choose a day that is not over yet"})
	}
	if s.MessagesPerHour != 0 {
		add(CheckNumber(FieldMessages, s.MessagesPerHour))
	}
	if s.Recipients != 0 {
		add(CheckNumber(FieldRecipients, s.Recipients))
	}
	add(s.checkSending())
	if all == nil {
		return nil
	}
	return hint.New(all, "%s", all[0].Hint)
}

// CheckNumber returns a complaint about a number given for a field, nil if it is in
// the field's range. In a [PasswordSpec], 0 means that none was given.
func CheckNumber(field string, n int) *Complaint {
	least, most := numberRanges[field][0], numberRanges[field][1]
	if n >= least && n <= most {
		return nil
	}
	c := &Complaint{Field: field, Rule: "nonumber", Least: least, Most: most}
	without := "any number"
	switch what := fmt.Sprintf("%d %s", n, numberWords[field]); {
	case field == FieldLength && n < least:
		c.What, without = fmt.Sprintf("a password of %d letters can be guessed", n), strconv.Itoa(defaultLength)
	case field == FieldLength:
		c.What, without = fmt.Sprintf("a password of %d letters is too long", n), strconv.Itoa(defaultLength)
	case n < least:
		c.What = what + " would allow nothing"
	default:
		c.What = what + " are more than any provider accepts"
	}
	c.Hint = fmt.Sprintf("write a whole number from %d to %d, or leave it out for %s", least, most, without)
	return c
}

var numberWords = map[string]string{FieldMessages: "messages an hour", FieldRecipients: "recipients of a message"}

func (s *PasswordSpec) checkName() *Complaint {
	c := &Complaint{Field: FieldName, Most: maxName}
	switch {
	case strings.TrimSpace(s.Name) == "":
		c.Rule, c.What, c.Hint = "noname", "the password needs a name", "such as that of the program it is for"
	case len(s.Name) > maxName:
		c.Rule, c.What = "longname", fmt.Sprintf("the password's name is too long: %d bytes", len(s.Name))
		c.Hint = fmt.Sprintf("choose one of at most %d bytes", maxName)
	case !utf8.ValidString(s.Name) || strings.ContainsFunc(s.Name, unicode.IsControl):
		c.Rule, c.What, c.Hint = "badname", "the password's name has characters that cannot be printed", "choose another name"
	default:
		return nil
	}
	return c
}

func (s *PasswordSpec) checkPreset() *Complaint {
	c := &Complaint{Field: FieldPreset, Least: minLength, Most: maxPreset}
	preset := s.Preset.Reveal()
	switch {
	case preset == "":
		return nil
	case utf8.RuneCountInString(preset) < minLength:
		c.Rule, c.What, c.Hint = "shortpreset", fmt.Sprintf("the password is too short: %d characters at least", minLength), "choose a longer one"
	case len(preset) > maxPreset:
		c.Rule, c.What, c.Hint = "longpreset", fmt.Sprintf("the password is too long: mail programs send at most %d bytes", maxPreset), "choose a shorter one"
	case strings.ContainsAny(preset, "\x00\r\n"):
		c.Rule, c.What, c.Hint = "badpreset", "the password has a line break or a NUL in it", "mail programs cannot send them"
	default:
		return nil
	}
	return c
}

func (s *PasswordSpec) checkProtocols() *Complaint {
	for _, p := range s.Protocols {
		if err := p.Check(); err != nil {
			return &Complaint{Field: FieldProtocols, Rule: "noprotocol", What: err.Error(), Hint: hint.Of(err)}
		}
	}
	return nil
}

// checkSending returns a complaint about limits on sending for a password that
// cannot send.
func (s *PasswordSpec) checkSending() *Complaint {
	sends := protocol.Allowed(s.Protocols, protocol.SMTP)
	limited := s.MessagesPerHour != 0 || s.Recipients != 0
	switch {
	case s.ReadOnly && limited:
		return &Complaint{Field: FieldReadOnly, Rule: "sends", What: "a read-only password sends nothing",
			Hint: "leave out the limits on sending, or make another password for sending"}
	case s.ReadOnly && len(s.Protocols) == 1 && sends:
		return &Complaint{Field: FieldReadOnly, Rule: "sends", What: "a read-only password sends nothing, and smtp is for sending",
			Hint: "choose imap or pop3"}
	case limited && !sends:
		return &Complaint{Field: FieldProtocols, Rule: "nosmtp", What: "a password with limits on sending must allow smtp",
			Hint: "add smtp to the protocols"}
	}
	return nil
}
