package connect

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/console/form"
	"authferry/internal/console/people"
	"authferry/internal/protocol"
	"authferry/tokens"
)

// invitationForm is the form for an invitation, as it was filled in.
type invitationForm struct {
	For, Provider, SignIn string
	Hours                 int
	Password              bool // make one
	Name                  string
	Protocols             []protocol.Protocol
	Networks, Days        string
	ReadOnly              bool
	Messages, Recipients  string
	Trouble               string
}

// Has reports whether a protocol is chosen.
func (f invitationForm) Has(p protocol.Protocol) bool { return slices.Contains(f.Protocols, p) }

func readInvitationForm(r *http.Request) invitationForm {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	hours, err := strconv.Atoi(get("hours"))
	if err != nil {
		hours = int(people.InvitationLife.Hours())
	}
	return invitationForm{
		For: get("for"), Provider: get("provider"), SignIn: get("sign_in"), Hours: hours,
		Password: get("password") != "", Name: get("name"),
		Protocols: protocol.List(r.PostForm["protocols"]), Networks: get("networks"), Days: get("days"),
		ReadOnly: get("read_only") != "", Messages: get("messages"), Recipients: get("recipients"),
	}
}

// readInvitation makes an invitation of a form. An invitation that cannot work is
// refused now, and not after the owner has signed in.
func readInvitation(c *Connector, f invitationForm) (i people.Invitation, err error) {
	mailbox, _ := c.Vault.Canonical(f.For)
	switch domain := strings.TrimPrefix(strings.TrimPrefix(mailbox, "*"), "@"); {
	case address.Check(mailbox) == nil:
		i.Mailbox = mailbox
	case address.IsDomain(domain) && strings.Contains(domain, "."):
		i.Domain = domain
	default:
		return i, form.Complaints{{Key: "invite.bad.for"}}
	}
	p := c.provider(f.Provider)
	if p == nil || !p.Flow.NeedsPerson() {
		return i, form.Complaints{{Key: "invite.bad.provider"}}
	}
	i.Provider = p.Name
	if f.SignIn != "" {
		if i.SignIn, _ = c.Vault.Canonical(f.SignIn); i.Mailbox == "" || address.Check(i.SignIn) != nil {
			return i, form.Complaints{{Key: "connect.bad.signin"}}
		}
		if i.SignIn == i.Mailbox {
			i.SignIn = ""
		}
	}
	if f.Hours < 1 || time.Duration(f.Hours)*time.Hour > people.MaxInvitationLife {
		return i, form.Complaints{{Key: "invite.bad.hours"}}
	}
	if !f.Password {
		return i, nil
	}
	i.Offer, err = f.offer(c.Now())
	return i, err
}

// maxDays bounds how long the password of an invitation is valid.
const maxDays = 3650

// offer reads the fields about the password.
func (f *invitationForm) offer(now time.Time) (people.Offer, error) {
	var r form.Reader
	o := people.Offer{
		Name: f.Name, ReadOnly: f.ReadOnly,
		Protocols: r.Protocols(f.Protocols), Networks: r.Networks(f.Networks),
		MessagesPerHour: r.Number(tokens.FieldMessages, f.Messages),
		Recipients:      r.Number(tokens.FieldRecipients, f.Recipients),
	}
	if f.Days != "" {
		var err error
		if o.Days, err = strconv.Atoi(f.Days); err != nil || o.Days < 1 || o.Days > maxDays {
			r.Complain("days", "nonumber", "least", 1, "most", maxDays)
			o.Days = 0
		}
	}
	spec := o.Spec(now)
	r.Check(&spec, now)
	if r.Wrong != nil {
		return o, r.Wrong
	}
	return o, nil
}
