"""What outlets call the canonical columns and kinds of rows, in English, German, French, Italian.

Invariant: names are compared without case, accents and signs between letters; the first name of a
column here is the likelier one. A canonical name always stands for itself.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from features.ledger import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS = {
    "customer_id": (
        "customerid customerno customernumber customernr custid custno custnr customer "
        "clientid clientno clientnumber memberid memberno accountid accountno accountnumber client "
        "kundennummer kundennr kundeid kundenid kundeno kdnr kdnummer kunr kundenkonto kunde "
        "debitor debitornr debitorennr mitgliedsnummer mitgliedsnr kaeufer kaeufernr adressnr "
        "numeroclient numclient noclient nclient nrclient codeclient idclient clientcode refclient "
        "codicecliente codcliente numerocliente idcliente clienteid ncliente nrcliente cliente "
        "member account acheteur acquirente"
    ),
    "purchased_at": (
        "purchasedat purchasedon purchasedate saledate salesdate soldat soldon transactiondate "
        "transactiontime transactiondatetime invoicedate receiptdate ticketdate orderdate "
        "bookingdate postingdate docdate documentdate visitdate eventdate datetime timestamp date "
        "day kaufdatum verkaufsdatum verkaufdatum belegdatum bondatum rechnungsdatum "
        "buchungsdatum transaktionsdatum bestelldatum auftragsdatum vorgangsdatum verkauftam "
        "gekauftam kaufam zeitpunkt datum tag datumzeit "
        "datevente datedevente dateachat datedachat dateticket datefacture datecommande "
        "dateoperation datetransaction datedocument jour "
        "datavendita datadivendita dataacquisto datadiacquisto datascontrino datafattura "
        "dataordine dataoperazione datamovimento datadocumento data giorno"
    ),
    "price": (
        "price netprice pricenet saleprice salesprice sellingprice soldprice pricepaid paidprice "
        "netamount amountnet linetotal lineamount netsales netvalue amount amountpaid paid total "
        "value revenue turnover net "
        "verkaufspreis vkpreis nettopreis preisnetto nettobetrag betragnetto nettoumsatz "
        "umsatznetto zahlbetrag zeilenbetrag zeilensumme positionsbetrag gesamtpreis preis betrag "
        "umsatz erloes erlos endpreis summe gesamt wert netto vkp vk vknetto "
        "prixvente prixdevente prixnet prixpaye montantnet montantht montant prix totalnet totalht "
        "total chiffredaffaires ca "
        "prezzovendita prezzodivendita prezzonetto prezzopagato importonetto importo prezzo totale "
        "totalenetto valore ricavo incasso "
        "grossamount amountgross bruttobetrag betragbrutto montantttc prixttc importolordo "
        "unitprice priceperunit einzelpreis stueckpreis stuckpreis prixunitaire prezzounitario"
    ),
    "kind": (
        "kind rowtype linetype transactiontype transtype trantype trxtype txntype movementtype "
        "doctype documenttype eventtype recordtype saletype type movement action "
        "vorgangsart vorgang vorgangstyp belegart bewegungsart buchungsart transaktionsart "
        "transaktionstyp zeilenart positionsart satzart belegtyp umsatzart kennzeichen kz art typ "
        "typeoperation typedoperation typemouvement typetransaction typeligne typedocument "
        "typevente typepiece nature operation mouvement "
        "tipooperazione tipomovimento tipotransazione tiporiga tipodocumento tipovendita causale "
        "operazione movimento tipo"
    ),
    "is_return": (
        "isreturn isreturned isrefund returned refunded returnflag refundflag return refund "
        "istretoure istrueckgabe istruckgabe retoure rueckgabe ruckgabe ruecknahme rucknahme "
        "gutschrift retourniert storno estretour estunretour retour retourne remboursement "
        "rembourse reso isreso ereso reso rimborso rimborsato"
    ),
    "list_price": (
        "listprice pricelist retailprice recommendedprice suggestedprice rrp srp msrp fullprice "
        "originalprice regularprice catalogprice catalogueprice tagprice pricebeforediscount "
        "undiscountedprice listamount list "
        "listenpreis listpreis katalogpreis originalpreis normalpreis uvp upe ladenpreis "
        "empfohlenerverkaufspreis unverbindlichepreisempfehlung preisvorrabatt bruttolistenpreis "
        "prixcatalogue prixpublic prixliste prixtarif prixdebase prixconseille prixavantremise "
        "tarif prixplein "
        "prezzolistino prezzodilistino listino prezzopubblico prezzopieno prezzoconsigliato"
    ),
    "basket_id": (
        "basketid basket receiptid receiptno receiptnumber receipt transactionid transactionno "
        "transactionnumber transid trxid txnid invoiceid invoiceno invoicenumber invoice ticketid "
        "ticketno ticketnumber ticket orderid orderno ordernumber order billno billid slipno "
        "documentid documentno documentnumber docno docid cartid saleno salenumber "
        "belegnummer belegnr belegid beleg bonnummer bonnr bonid kassenbon bon rechnungsnummer "
        "rechnungsnr rechnungnr rechnungid rechnung auftragsnummer auftragsnr auftrag "
        "vorgangsnummer vorgangsnr vorgangid transaktionsnummer transaktionsnr transaktionsid "
        "bestellnummer "
        "bestellnr warenkorb warenkorbid verkaufsnr quittungsnr "
        "numeroticket numticket noticket nticket idticket numerofacture numfacture nofacture "
        "idfacture facture numerocommande numcommande idcommande commande numerotransaction "
        "idtransaction idpanier panier numeropiece "
        "numeroscontrino nscontrino idscontrino scontrino numerofattura nfattura fattura "
        "numeroordine idordine ordine numerodocumento ndocumento numerotransazione idtransazione "
        "carrello idcarrello"
    ),
    "line_id": (
        "lineid saleslineid salelineid transactionlineid orderlineid rowid recordid uniqueid uuid "
        "guid positionsid positionid posid zeilenid zeileid satzid satznr belegposid idligne "
        "ligneid idriga rigaid idmovimento id"
    ),
    "serial": (
        "serial serialnumber serialno serialnr sn serialid casenumber caseno imei "
        "seriennummer seriennr serienno gehaeusenummer gehausenummer gehaeusenr werknummer "
        "individualnummer individualnr uhrennummer "
        "numerodeserie numeroserie numserie noserie nserie serie nrserie "
        "numerodiserie numeroseriale nseriale seriale matricola numeromatricola"
    ),
    "reference": (
        "reference referenceno referencenumber ref refno refnumber modelreference modelref "
        "modelnumber modelno itemno itemnumber itemcode itemid item articleno articlenumber "
        "articlecode articleid article productcode productno productid product stockcode stockno "
        "sku style styleno plu model ean upc gtin barcode "
        "referenz referenznummer referenznr artikelnummer artikelnr artikelid artikelcode artnr "
        "artikel modellnummer modellnr modell produktnummer produktnr produkt warennummer "
        "referencearticle refarticle refproduit codearticle noarticle numarticle codeproduit "
        "idarticle idproduit produit modele "
        "riferimento referenza codicearticolo codarticolo codart codicemodello codiceprodotto "
        "codprodotto idarticolo articolo modello prodotto"
    ),
    "outlet_id": (
        "outletid outlet outletcode storeid storeno storenumber storecode store shopid shopno "
        "shopcode shop branchid branchno branchcode branch locationid location siteid site "
        "boutique boutiqueid salespoint pointofsale "
        "filiale filialnummer filialnr filialid filialcode filial geschaeft geschaft geschaeftnr "
        "laden ladennr standort standortid verkaufsstelle haus niederlassung betriebsstaette "
        "magasin codemagasin idmagasin nomagasin pointdevente pdv succursale "
        "negozio codicenegozio codnegozio idnegozio puntovendita filialenr sede"
    ),
    "phone": (
        "phone phonenumber phoneno mobile mobilephone mobileno mobilenumber cell cellphone "
        "handphone telephone telephoneno tel telno contactno contactnumber msisdn whatsapp "
        "telefon telefonnummer telefonnr mobil mobilnummer mobilnr mobiltelefon handy handynummer "
        "handynr rufnummer natel "
        "numerotelephone numtelephone notel numtel telephoneportable telephonemobile portable "
        "telportable telmobile gsm "
        "telefono numerotelefono numeroditelefono cellulare numerocellulare telcellulare recapito"
    ),
    "email": (
        "email emailaddress mail mailaddress emailaddr "
        "emailadresse mailadresse epost "
        "courriel adressemail adresseemail adressecourriel mel "
        "postaelettronica indirizzoemail indirizzomail"
    ),
    "changed": (
        "changedat changedon changed updatedat updatedon updated lastupdate lastupdated modifiedat "
        "modifiedon modified lastmodified lastmodifiedat rowversion lastchange lastchanged mtime "
        "geaendertam geandertam geaendert aenderungsdatum anderungsdatum letzteaenderung "
        "modifiele datemodification dernieremodification majle "
        "modificatoil datamodifica ultimamodifica aggiornatoil"
    ),
    "tier": "tier scarcity availability rarity knappheit verfuegbarkeit stufe livello",
    "seen_at": "seenat seenon seendate sightedat founddate gesehenam vule vistoil",
    "status": "status state stand statut stato",
    "since": "since requestedat requestedon addedat waitingsince seit depuis dal",
    "closed_at": "closedat closedon closed erledigtam cloturele chiusoil",
}

COLUMN_NAMES = {canonical: tuple(names.split()) for canonical, names in _COLUMNS.items()}
"""What outlets call each canonical column, normalised, the likeliest first."""

_KINDS = {
    Kind.PURCHASE: (
        "purchase sale sales sold sell sl pur buy invoice inv vk verkauf vkf verk kauf "
        "rechnung barverkauf vente vte achat facture fac vendita vend vnd acquisto fattura s v p"
    ),
    Kind.RETURN: (
        "return returned returns ret rtn rt rma refund refunded rf rfd creditnote crn "
        "retoure retour rueckgabe ruckgabe ruecknahme rucknahme ruecksendung gutschrift gs gut "
        "warenruecknahme remboursement remb rembourse avoir reso resi rso rimborso rimb "
        "notacredito notadicredito nc r"
    ),
    Kind.SERVICE: (
        "service serviced svc srv repair maintenance overhaul reparatur rep wartung werkstatt "
        "servicearbeit sav entretien reparation revision riparazione assistenza manutenzione"
    ),
    Kind.INTEREST: (
        "interest interested waitlist waitinglist wish wishlist wl vormerkung warteliste interesse "
        "listedattente attente interet listadattesa attesa"
    ),
    Kind.ACCEPTED: "accepted accept angenommen zugesagt accepte accettato accettata",
    Kind.DECLINED: "declined decline abgelehnt abgesagt refuse refusee rifiutato rifiutata",
}

KIND_CODES = {word: kind for kind, words in _KINDS.items() for word in words.split()}
"""What outlets write for a kind of row, normalised."""

TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "ja", "j", "oui", "o", "si", "s", "1", "x"), True),
    **dict.fromkeys(("false", "f", "no", "n", "nein", "non", "0"), False),
}
"""What outlets write for true and false, normalised."""

_OTHERWISE = {
    "purchased_at": (
        "birth birthday dob geburt geburts geburtsdatum gebdatum naissance nascita due faellig "
        "delivery liefer lieferdatum livraison consegna ship shipped created anlage angelegt "
        "registered register registration eintritt inscription iscrizione valid gueltig bis until "
        "end ende changed updated modified geaendert aenderung import export print druck"
    ),
    "price": (
        "category group gruppe klasse level list discount rabatt remise sconto tax vat mwst tva "
        "iva steuer cost einkauf ek wareneinsatz achat costo purchase kosten commission provision "
        "currency waehrung devise valuta points punkte"
    ),
    "list_price": "category group gruppe klasse discount rabatt remise sconto",
    "customer_id": (
        "name nom nome vorname nachname prenom cognome type typ art group gruppe gruppo since seit "
        "phone telefon email mail birth geburt address adresse status class klasse segment "
        "category count anzahl language sprache"
    ),
    "kind": (
        "payment pay zahl zahlung zahlungs zahlart paiement pagamento customer kunden kunde client "
        "cliente card karten phone tax mwst price preis product produkt artikel artikels item "
        "address"
    ),
    "basket_id": "date datum data type typ art line position pos amount total status name value",
    "line_id": (
        "customer kunden kunde client cliente product artikel item outlet store filiale customerid "
        "associate seller verkaeufer"
    ),
    "reference": "payment zahlung order customer kunden kunde client receipt beleg name",
    "outlet_id": "name type typ address adresse phone telefon email",
    "phone": "type typ code land country",
    "email": "type typ consent optin newsletter",
}
_NEVER = {name: frozenset(words.split()) for name, words in _OTHERWISE.items()}
"""Words beside which a name means something else: a day of birth is no day of a sale."""

_UMLAUTS = {ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"}
_EXACT, _WITHIN = 100.0, 60.0


def normalised(name: str) -> set[str]:
    """A name without case, accents and signs, with umlauts as both "a" and "ae"."""
    lower = name.casefold()
    expanded = lower.translate(_UMLAUTS)
    return {re.sub(r"[^a-z0-9]", "", _plain(text)) for text in (lower, expanded)}


def likeness(name: str, canonical: str) -> float:
    """How much an outlet's column name sounds like a canonical column: 0 to 100.

    100 stands for the canonical name itself; a name that holds a known one among others, such as
    "T_DATUM", is worth less than the known one.
    """
    if name == canonical:
        return _EXACT
    ranks = {alias: rank for rank, alias in enumerate(COLUMN_NAMES[canonical])}
    exact = [ranks[text] for text in normalised(name) if text in ranks]
    if exact:
        return _EXACT - 1 - min(exact) * 0.1
    if any(set(words) & _NEVER.get(canonical, frozenset()) for words in _spellings(name)):
        return 0.0
    within = [
        _WITHIN - ranks[text] * 0.1 - left * 5
        for words in _spellings(name)
        for text, left in _runs(words)
        if text in ranks and len(text) > 2  # noqa: PLR2004  ("no", "ca" and the like mean anything)
    ]
    return max(within, default=0.0)


def kind_of(code: str) -> Kind | None:
    """The kind of row that a code sounds like; None where it sounds like none."""
    for text in normalised(code):
        if text in KIND_CODES:
            return KIND_CODES[text]
    found = {
        KIND_CODES[text]
        for words in _spellings(code)
        for text, _ in _runs(words)
        if text in KIND_CODES and len(text) > 2  # noqa: PLR2004  (of one letter: alone only)
    }
    return found.pop() if len(found) == 1 else None


def truth_of(code: str) -> bool | None:
    """Whether a cell says yes or no; None where it says neither."""
    return next((TRUTHS[text] for text in normalised(code) if text in TRUTHS), None)


def _plain(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text)
    return "".join(character for character in parts if not unicodedata.combining(character))


def _spellings(name: str) -> list[list[str]]:
    """The words of a name, with umlauts as both "a" and "ae"."""
    broken = re.sub(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Ý])", " ", name)
    words = [word for word in re.split(r"[^A-Za-zÀ-ÿ0-9]+", broken) if word]
    forms = [sorted(normalised(word), key=len) for word in words]
    return [[form[place] for form in forms] for place in (0, -1)]


def _runs(words: list[str]) -> Iterator[tuple[str, int]]:
    """Every run of neighbouring words as one, and how many words are left over."""
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            yield "".join(words[start:end]), len(words) - (end - start)
