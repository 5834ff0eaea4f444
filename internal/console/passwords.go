package console

import (
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/internal/mailsettings"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/store"
)

func (c *Console) mountPasswords() {
	c.handle("POST /mailboxes/{mailbox}/passwords", signedIn, (*visit).addPassword)
	c.handle("POST /mailboxes/{mailbox}/passwords/revoke", signedIn, (*visit).revokePassword)
}

// mailProtocols are those that a password may be good for.
var mailProtocols = []string{"imap", "pop3", "smtp"}

// passwordForm is a password to be made, as it was typed.
type passwordForm struct {
	Name, Networks, Expires, Messages, Recipients, Length string

	Protocols []string
	ReadOnly  bool

	Trouble string // what is wrong with it
	Field   string // which field that is about
}

// For tells whether a protocol is chosen; all are, to begin with.
func (f passwordForm) For(protocol string) bool {
	return len(f.Protocols) == 0 && f.Trouble == "" || slices.Contains(f.Protocols, protocol)
}

// Special tells whether anything beyond the name was filled in.
func (f passwordForm) Special() bool {
	return f.Networks != "" || f.Expires != "" || f.Messages != "" || f.Recipients != "" || f.ReadOnly || f.Length != "" ||
		f.Trouble != "" && f.Field != "name"
}

// MailProtocols are those to choose from.
func (v *visit) MailProtocols() []string { return mailProtocols }

func (v *visit) passwordForm() passwordForm {
	text := func(key string) string { return strings.TrimSpace(v.r.PostFormValue(key)) }
	return passwordForm{
		Name: text("name"), Networks: text("networks"), Expires: text("expires"),
		Messages: text("messages"), Recipients: text("recipients"), Length: text("length"),
		Protocols: v.r.PostForm["protocol"], ReadOnly: text("read-only") != "",
	}
}

// spec reads the form. What is wrong with it is in Trouble.
func (f *passwordForm) spec(v *visit) tokens.PasswordSpec {
	var r passwordReader
	s := tokens.PasswordSpec{
		Name: f.Name, ReadOnly: f.ReadOnly,
		Protocols: r.protocols(f.Protocols), Networks: r.networks(f.Networks), Expires: r.day(f.Expires),
		MessagesPerHour: r.number(tokens.FieldMessages, f.Messages),
		Recipients:      r.number(tokens.FieldRecipients, f.Recipients),
		Length:          r.number(tokens.FieldLength, f.Length),
	}
	r.check(&s, v.now())
	f.complain(v, r.wrong)
	return s
}

// complain puts complaints into the form: all texts, and the field of the first.
func (f *passwordForm) complain(v *visit, wrong complaints) {
	if len(wrong) > 0 {
		f.Trouble, f.Field = v.complaintText(wrong), wrong[0].field
	}
}

// addPassword makes a password and shows it, this once: the answer is the only
// place it ever appears in, and no cache keeps it.
func (v *visit) addPassword() error {
	if err := v.r.ParseForm(); err != nil {
		return v.refuse(http.StatusBadRequest, "error.form")
	}
	a, err := v.Vault.Account(v.r.Context(), v.mailbox)
	if err != nil {
		return err
	}
	form := v.passwordForm()
	spec := form.spec(v)
	if slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, form.Name) }) && form.Trouble == "" {
		form.Field, form.Trouble = "name", v.T("password.taken", "name", form.Name)
	}
	if form.Trouble != "" {
		return v.mailboxPage(http.StatusUnprocessableEntity, form)
	}
	secret, err := v.Vault.AddPassword(v.r.Context(), v.mailbox, spec)
	if err != nil {
		form.Trouble = err.Error()
		return v.mailboxPage(http.StatusUnprocessableEntity, form)
	}
	v.note("console: password added", zap.String("password", spec.Name))
	return v.showPassword(v.mailbox, spec, secret)
}

// madePassword is a password that has just been made, to be shown once.
type madePassword struct {
	Mailbox, Name string
	Secret        secret.String
	Servers       []MailServer // that it is good for
	Cards         []mailsettings.Card
}

// Reveal is the password itself, for the page that shows it.
func (p madePassword) Reveal() string { return p.Secret.Reveal() }

// showPassword answers with a page that has a new password and what else a mail
// program asks for.
func (v *visit) showPassword(mailbox string, spec tokens.PasswordSpec, secret secret.String) error {
	servers := slices.DeleteFunc(v.Servers(), func(s MailServer) bool {
		return len(spec.Protocols) > 0 && !slices.Contains(spec.Protocols, s.Protocol) || spec.ReadOnly && s.Protocol == "smtp"
	})
	return v.show("password", madePassword{mailbox, spec.Name, secret, servers, v.cards(mailbox)})
}

// revokePassword makes a password useless; its sessions end at once.
func (v *visit) revokePassword() error {
	name := v.r.PostFormValue("name")
	if err := v.Vault.RevokePassword(v.r.Context(), v.mailbox, name); err != nil {
		a, lookErr := v.Vault.Account(v.r.Context(), v.mailbox)
		gone := lookErr == nil && !slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, name) })
		if !gone {
			return err
		}
	}
	v.Sweep()
	v.note("console: password revoked", zap.String("password", printable.Quote(name)))
	return v.done(mailboxPath(v.mailbox), "revoked")
}

// May is what a password is good for, in words.
func (v *visit) May(p store.Password) string {
	var words []string
	if len(p.Protocols) > 0 {
		words = append(words, strings.ToUpper(strings.Join(p.Protocols, ", ")))
	}
	if p.ReadOnly {
		words = append(words, v.T("password.readonly"))
	}
	if len(p.Networks) > 0 {
		var list []string
		for _, n := range p.Networks {
			list = append(list, n.String())
		}
		words = append(words, v.T("password.only", "networks", strings.Join(list, ", ")))
	}
	if p.MessagesPerHour > 0 {
		words = append(words, v.N("password.perhour", p.MessagesPerHour))
	}
	if p.Recipients > 0 {
		words = append(words, v.N("password.permessage", p.Recipients))
	}
	switch {
	case p.Expires.IsZero():
	case p.Expires.After(v.now()):
		words = append(words, v.T("password.ends", "span", v.Until(p.Expires)))
	default:
		words = append(words, v.T("password.over"))
	}
	if len(words) == 0 {
		return v.T("password.all")
	}
	return strings.Join(words, " · ")
}

// Protocol is a protocol as people write it.
func (v *visit) Protocol(name string) string { return strings.ToUpper(name) }
