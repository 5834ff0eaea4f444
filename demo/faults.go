package demo

import "authferry/demo/fault"

// The types and values of package fault, which describes them.
type (
	Faults      = fault.Injector
	TokenAnswer = fault.TokenAnswer
	MailFault   = fault.MailFault
)

// For [Faults.Token].
const (
	TokenNormal          = fault.TokenNormal
	TokenInvalidGrant    = fault.TokenInvalidGrant
	TokenInvalidCli      = fault.TokenInvalidCli
	Token500             = fault.Token500
	Token429             = fault.Token429
	TokenHTML            = fault.TokenHTML
	TokenStall           = fault.TokenStall
	TokenCut             = fault.TokenCut
	TokenInvalidRAPT     = fault.TokenInvalidRAPT
	TokenAdminPolicy     = fault.TokenAdminPolicy
	TokenDeletedClient   = fault.TokenDeletedClient
	TokenUnauthorizedCli = fault.TokenUnauthorizedCli
	Token503HTML         = fault.Token503HTML
	TokenEmpty           = fault.TokenEmpty
	TokenTruncated       = fault.TokenTruncated
	TokenWrongType       = fault.TokenWrongType
	TokenLifeString      = fault.TokenLifeString
	TokenLifeFloat       = fault.TokenLifeFloat
	TokenLifeMissing     = fault.TokenLifeMissing
	TokenGrantExpires    = fault.TokenGrantExpires
)

// For [Faults.Mail].
const (
	MailNormal     = fault.MailNormal
	MailRefuse     = fault.MailRefuse
	MailDisabled   = fault.MailDisabled
	MailTooMany    = fault.MailTooMany
	MailTemporary  = fault.MailTemporary
	MailWebLogin   = fault.MailWebLogin
	MailStall      = fault.MailStall
	MailCut        = fault.MailCut
	MailCutMessage = fault.MailCutMessage
	MailBye        = fault.MailBye
)
