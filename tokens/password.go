package tokens

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"authferry/internal/network"
	"authferry/internal/printable"
)

// PasswordSpec describes a local password to be made.
type PasswordSpec struct {
	Name      string
	Preset    Secret // taken exactly as given; empty: one is generated
	Length    int    // letters of a generated one, 12 or more; 0: 16
	Protocols []string
	Networks  []netip.Prefix
	Expires   time.Time

	ReadOnly        bool // looks at everything, changes nothing, sends nothing
	MessagesPerHour int  // that may be sent; 0: any number
	Recipients      int  // of one message; 0: any number
}

const (
	// letters of generated passwords: lower case, without i, l and o, which
	// people and printers' displays confuse with 1 and 0.
	letters = "abcdefghjkmnpqrstuvwxyz"
	// defaultLength gives 72 bits, and looks like the app passwords that
	// programs' manuals describe.
	defaultLength = 16
	leastLength   = 12
	mostLength    = 128
	// mostPreset bounds a chosen password: PLAIN promises no more than 255
	// octets (RFC 4616 §2).
	mostPreset = 255
	mostName   = 64
	// mostMessages bounds the messages per hour, each of which is remembered
	// for that long, and mostRecipients those of one message. No provider takes
	// nearly as many.
	mostMessages   = 10_000
	mostRecipients = 10_000
)

// protocols are what a password may be good for.
var protocols = []string{"imap", "pop3", "smtp"}

// newPassword makes a password and returns what is kept of it and what is shown.
func newPassword(spec PasswordSpec, now time.Time) (Password, Secret, error) {
	if err := spec.check(now); err != nil {
		return Password{}, "", err
	}
	p := Password{
		ID: randomHex(8), Name: spec.Name, Protocols: spec.Protocols,
		Expires: spec.Expires, Created: now.UTC().Round(0),
		ReadOnly: spec.ReadOnly, MessagesPerHour: spec.MessagesPerHour, Recipients: spec.Recipients,
	}
	for _, n := range spec.Networks {
		p.Networks = append(p.Networks, network.Unmap(n).Masked())
	}
	if !spec.Preset.Empty() {
		p.Argon2 = hashArgon2(spec.Preset)
		return p, spec.Preset, nil
	}
	length := spec.Length
	if length == 0 {
		length = defaultLength
	}
	shown := generate(length)
	p.Key = Secret(randomBytes(32))
	p.Hash = keyedHash(p.Key, foldGenerated(shown))
	return p, shown, nil
}

// check complains of a specification.
func (s *PasswordSpec) check(now time.Time) error {
	if err := s.checkName(); err != nil {
		return err
	}
	if err := s.checkSecret(); err != nil {
		return err
	}
	if err := s.checkRules(); err != nil {
		return err
	}
	for _, p := range s.Protocols {
		if !slices.Contains(protocols, p) {
			return fmt.Errorf("the protocol %s is not one of %s", printable.Quote(p), strings.Join(protocols, ", "))
		}
	}
	for _, n := range s.Networks {
		if !n.IsValid() {
			return errors.New("a network is not valid: write it as 192.0.2.0/24")
		}
	}
	if !s.Expires.IsZero() && !s.Expires.After(now) {
		return fmt.Errorf("the password would have expired already, at %s", s.Expires.Format(time.RFC3339))
	}
	return nil
}

// checkRules complains of rules that cannot be meant: each is about something
// that the password could not do anyway.
func (s *PasswordSpec) checkRules() error {
	sends := len(s.Protocols) == 0 || slices.Contains(s.Protocols, "smtp")
	switch {
	case s.MessagesPerHour < 0 || s.MessagesPerHour > mostMessages:
		return fmt.Errorf("%d messages an hour: write 1 to %d, or leave it out for any number", s.MessagesPerHour, mostMessages)
	case s.Recipients < 0 || s.Recipients > mostRecipients:
		return fmt.Errorf("%d recipients of a message: write 1 to %d, or leave it out for any number", s.Recipients, mostRecipients)
	case s.ReadOnly && (s.MessagesPerHour > 0 || s.Recipients > 0):
		return errors.New("a read-only password sends nothing: leave out the limits to what it sends, or make another password for sending")
	case s.ReadOnly && len(s.Protocols) == 1 && sends:
		return errors.New("a read-only password sends nothing, so it cannot be for smtp alone: give it imap or pop3")
	case !sends && (s.MessagesPerHour > 0 || s.Recipients > 0):
		return errors.New("a password with limits to what it sends must be good for smtp")
	}
	return nil
}

func (s *PasswordSpec) checkName() error {
	switch {
	case strings.TrimSpace(s.Name) == "":
		return errors.New("the password needs a name, such as that of the program that will use it")
	case len(s.Name) > mostName:
		return fmt.Errorf("the password's name is too long: %d bytes, at most %d", len(s.Name), mostName)
	case !utf8.ValidString(s.Name) || strings.ContainsFunc(s.Name, unicode.IsControl):
		return errors.New("the password's name has characters that cannot be printed")
	}
	return nil
}

func (s *PasswordSpec) checkSecret() error {
	preset := s.Preset.Reveal()
	switch {
	case preset == "" && s.Length == 0:
		return nil
	case preset == "" && s.Length < leastLength:
		return fmt.Errorf("a password of %d letters can be guessed: %d at least", s.Length, leastLength)
	case preset == "" && s.Length > mostLength:
		return fmt.Errorf("a password of %d letters is too long: %d at most", s.Length, mostLength)
	case preset == "":
		return nil
	case utf8.RuneCountInString(preset) < leastLength:
		return fmt.Errorf("the password is too short: %d characters at least", leastLength)
	case len(preset) > mostPreset:
		return fmt.Errorf("the password is too long: mail programs send at most %d bytes", mostPreset)
	case strings.ContainsAny(preset, "\x00\r\n"):
		return errors.New("the password has a line break or a NUL in it, which mail programs cannot send")
	}
	return nil
}

// generate makes a password of so many letters, in groups of four.
func generate(length int) Secret {
	var b strings.Builder
	for i := range length {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // does not happen: crypto/rand ends the program first
		}
		b.WriteByte(letters[n.Int64()])
	}
	return Secret(b.String())
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }

// foldGenerated makes what people make of a generated password when they copy
// it equal: groups apart or not, spaces of any width, a line end pasted along,
// capitals at the start.
func foldGenerated(s Secret) Secret {
	var b strings.Builder
	b.Grow(len(s))
	for i, r := range s.Reveal() {
		switch {
		case unicode.IsSpace(r), r == '\u200b', r == '\ufeff': // zero width space, byte order mark
		case r == utf8.RuneError && s[i] == 0xa0: // a no-break space in Latin-1
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return Secret(b.String())
}

func keyedHash(key, password Secret) Secret {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(password.Reveal()))
	return Secret(mac.Sum(nil))
}

func equal(a, b Secret) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

func (p *Password) expired(now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// forbids tells why a password does not serve a login, in words that follow
// its name; empty if it does.
func (p *Password) forbids(l Login, now time.Time) string {
	from := l.From.Unmap().WithZone("")
	switch {
	case p.expired(now):
		return "expired on " + p.Expires.Format(time.RFC3339)
	case len(p.Protocols) > 0 && !slices.Contains(p.Protocols, l.Protocol):
		return fmt.Sprintf("is for %s, not for %s", strings.Join(p.Protocols, ", "), l.Protocol)
	case p.ReadOnly && l.Protocol == "smtp":
		return "is read-only, and smtp is for sending"
	case len(p.Networks) > 0 && !slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(from) }):
		return fmt.Sprintf("is not allowed from %s", from)
	}
	return ""
}
