package oauth

import (
	"fmt"
	"net/url"
	"strings"

	"authferry/internal/printable"
)

// Advice is what to tell people about a failure: what it means, the one thing
// to do about it, and the page to do it on, if there is one.
type Advice struct {
	Words string
	Fix   string
	Page  string
}

// The pages people are sent to.
const (
	googleAudience    = "https://console.cloud.google.com/auth/audience"
	googleClients     = "https://console.cloud.google.com/auth/clients"
	googleKeys        = "https://console.cloud.google.com/iam-admin/serviceaccounts"
	googleDelegation  = "https://admin.google.com/ac/owl/domainwidedelegation"
	googleApps        = "https://admin.google.com/ac/owl/list?tab=configuredApps"
	googleSession     = "https://admin.google.com/ac/security/reauth/admin-tools"
	googleUsers       = "https://admin.google.com/ac/users"
	googleConnections = "https://myaccount.google.com/connections"

	microsoftClients     = "https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade"
	microsoftEntra       = "https://entra.microsoft.com"
	microsoftConnections = "https://myapps.microsoft.com"
	microsoftConsent     = "https://account.live.com/consent/Manage" // personal accounts
)

// brand is whose consoles a provider has.
type brand string

const (
	google    brand = "google"
	microsoft brand = "microsoft"
)

// brand tells it by the addresses, whatever the table is called; by its name
// where they say nothing.
func (p *Provider) vendor() brand {
	if p == nil {
		return ""
	}
	hosts := p.IMAP.Host + " " + p.SMTP.Host + " " + p.POP3.Host
	for _, address := range []string{p.TokenURL, p.AuthURL} {
		if u, err := url.Parse(address); err == nil {
			hosts += " " + u.Hostname()
		}
	}
	switch {
	case strings.Contains(hosts, "googleapis.com"), strings.Contains(hosts, ".gmail.com"), p.Name == "gmail":
		return google
	case strings.Contains(hosts, "login.microsoftonline."), strings.Contains(hosts, ".office365.com"), p.Name == "microsoft":
		return microsoft
	}
	return ""
}

// page picks the page of a provider's brand.
func (p *Provider) page(ofGoogle, ofMicrosoft string) string {
	return map[brand]string{google: ofGoogle, microsoft: ofMicrosoft}[p.vendor()]
}

// title is what to call a provider, and table where it is configured.
func (p *Provider) title() string {
	if p == nil || p.Name == "" {
		return "the provider"
	}
	return p.Name
}

func (p *Provider) table() string {
	if p == nil || p.Name == "" {
		return "the provider's table"
	}
	return "[provider." + p.Name + "]"
}

func (p *Provider) flow() Flow {
	if p == nil {
		return FlowConsent
	}
	return p.Flow
}

// tokenService is what to call the place that gives tokens: people who hear
// that "the provider" is down look at their mail, which works.
func (p *Provider) tokenService() string {
	if p != nil {
		if u, err := url.Parse(p.TokenURL); err == nil && u.Host != "" {
			return fmt.Sprintf("the token service of %s (%s)", p.title(), u.Host)
		}
	}
	return "the token service of " + p.title()
}

// Advice puts a cause in words for the owner of a mailbox. p may be nil, where
// the provider is not known any more.
func (c Cause) Advice(mailbox string, p *Provider) Advice {
	connect := "run authferry connect " + mailbox
	switch c {
	case CauseRevoked:
		return Advice{Words: p.title() + " has ended the grant: it was withdrawn, the account's password changed, or it was unused for too long", Fix: connect}
	case CauseTesting:
		if p.vendor() == google {
			return Advice{
				Words: "the grant has come to its end: after seven days, while the consent screen is in Testing",
				Fix:   "publish it (In production), then " + connect, Page: googleAudience,
			}
		}
		return Advice{Words: "the grant has come to the end that " + p.title() + " gave it", Fix: connect}
	case CauseSessionControl:
		return Advice{
			Words: "the session control of the mailbox's domain wants its owner to sign in again",
			Fix:   connect, Page: p.page(googleSession, microsoftEntra),
		}
	case CauseNoGrant:
		return Advice{Words: "nobody has signed in to this mailbox yet, or it was disconnected", Fix: connect}
	case CauseInteraction:
		if !p.flow().NeedsPerson() {
			return Advice{
				Words: p.title() + " wants somebody to sign in, which an application cannot",
				Fix:   "exempt the client from the domain's sign-in rules (conditional access)", Page: p.page(googleApps, microsoftEntra),
			}
		}
		return Advice{Words: p.title() + " wants the mailbox's owner to sign in (second factor, rules of the domain, or a new consent)", Fix: connect}
	case CauseUnknownUser:
		return Advice{
			Words: p.title() + " knows no user " + mailbox,
			Fix:   "check the address and whether the account still exists", Page: p.page(googleUsers, microsoftEntra),
		}
	case CausePolicy, CauseClientDeleted, CauseClient, CauseDelegation:
		return c.clientAdvice(p)
	}
	return c.passingAdvice(p)
}

// clientAdvice is for causes that whoever runs authferry, or the domain, mends.
func (c Cause) clientAdvice(p *Provider) Advice {
	id := ""
	if p != nil && p.ClientID != "" {
		id = " " + printable.Quote(p.ClientID)
	}
	switch {
	case c == CausePolicy:
		return Advice{
			Words: "the administrator of the mailbox's domain does not let authferry's OAuth client in",
			Fix:   "ask for the client id" + id + " to be trusted", Page: p.page(googleApps, microsoftEntra),
		}
	case c == CauseClientDeleted:
		return Advice{
			Words: "authferry's OAuth client at " + p.title() + " was deleted or disabled",
			Fix:   "restore it, or make a new one and name it in " + p.table(), Page: p.page(googleClients, microsoftClients),
		}
	case c == CauseDelegation && p.flow() == FlowServiceAccount:
		if p.ServiceAccount != nil && p.ServiceAccount.Client != "" {
			id = " " + printable.Quote(p.ServiceAccount.Client)
		}
		return Advice{
			Words: "the service account may not act for this mailbox",
			Fix:   "delegate the scope " + strings.Join(p.Scopes, " ") + " to its client id" + id, Page: googleDelegation,
		}
	case c == CauseDelegation:
		return Advice{
			Words: "authferry's OAuth client at " + p.title() + " has no right to this mailbox",
			Fix:   "grant it the application permissions of " + p.table() + " and full access to the mailbox", Page: p.page(googleDelegation, microsoftClients),
		}
	case p.flow() == FlowServiceAccount:
		return Advice{
			Words: p.title() + " does not accept the service account's key",
			Fix:   "make a new key and name it in " + p.table(), Page: p.page(googleKeys, ""),
		}
	}
	return Advice{
		Words: p.title() + " does not accept authferry's OAuth client",
		Fix:   "check its id and its secret or certificate in " + p.table(), Page: p.page(googleClients, microsoftClients),
	}
}

// passingAdvice is for what is no fault of a grant's.
func (c Cause) passingAdvice(p *Provider) Advice {
	const again = "nothing needs to be done: it is tried again by itself"
	switch c {
	case CauseClock:
		return Advice{Words: "the clock of the machine that authferry runs on is wrong", Fix: "set it, and have it kept right: timedatectl set-ntp true"}
	case CauseCommand:
		return Advice{Words: "the token_command of " + p.table() + " failed", Fix: "run it as the user that authferry serves as, and see what it says"}
	case CauseThrottled:
		return Advice{Words: p.tokenService() + " wants fewer calls for a while", Fix: again}
	case CauseOutage:
		return Advice{Words: p.tokenService() + " has a fault", Fix: again}
	case CauseUnreachable:
		return Advice{Words: p.tokenService() + " cannot be reached", Fix: again + "; if it lasts, see whether this machine's network and firewall let it through"}
	}
	return Advice{}
}

// connectionsPage is where the owner of an account takes a grant back by hand.
func (p *Provider) ConnectionsPage() string {
	if p.vendor() == microsoft && strings.Contains(p.AuthURL, "/consumers/") {
		return microsoftConsent
	}
	return p.page(googleConnections, microsoftConnections)
}

// Brand returns whose sign-in page a provider has, as people know it: "Google",
// "Microsoft", or else the name of its table.
func (p *Provider) Brand() string {
	switch p.vendor() {
	case google:
		return "Google"
	case microsoft:
		return "Microsoft"
	}
	return p.Name
}
