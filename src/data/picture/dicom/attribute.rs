//! The attributes of a DICOM file that reading its picture needs (names and tags: PS3.6).

use std::fmt;

use dicom_core::Tag;

/// An attribute, by the sequences that lead to it, of whose items the first counts, and its own tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) path: &'static [Tag],
    name: &'static str,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const MODALITY_LUT_SEQUENCE: Tag = Tag(0x0028, 0x3000);
const VOI_LUT_SEQUENCE: Tag = Tag(0x0028, 0x3010);
const LUT_DESCRIPTOR: Tag = Tag(0x0028, 0x3002);
const LUT_DATA: Tag = Tag(0x0028, 0x3006);

macro_rules! attributes {
    ($($constant:ident = $name:literal [$($tag:expr),+];)+) => {
        $(pub(super) const $constant: Attribute = Attribute { path: &[$($tag),+], name: $name };)+
        /// Every attribute that is read.
        pub(super) const ALL: &[Attribute] = &[$($constant),+];
    };
}

attributes! {
    MEDIA_STORAGE = "MediaStorageSOPClassUID" [Tag(0x0002, 0x0002)];
    TRANSFER_SYNTAX = "TransferSyntaxUID" [Tag(0x0002, 0x0010)];
    SOP_CLASS = "SOPClassUID" [Tag(0x0008, 0x0016)];
    PATIENT_ID = "PatientID" [Tag(0x0010, 0x0020)];
    MAGNIFICATION = "EstimatedRadiographicMagnificationFactor" [Tag(0x0018, 0x1114)];
    IMAGER_PIXEL_SPACING = "ImagerPixelSpacing" [Tag(0x0018, 0x1164)];
    NOMINAL_SCANNED_PIXEL_SPACING = "NominalScannedPixelSpacing" [Tag(0x0018, 0x2010)];
    IMAGE_POSITION = "ImagePositionPatient" [Tag(0x0020, 0x0032)];
    IMAGE_ORIENTATION = "ImageOrientationPatient" [Tag(0x0020, 0x0037)];
    SAMPLES_PER_PIXEL = "SamplesPerPixel" [Tag(0x0028, 0x0002)];
    PHOTOMETRIC_INTERPRETATION = "PhotometricInterpretation" [Tag(0x0028, 0x0004)];
    PLANAR_CONFIGURATION = "PlanarConfiguration" [Tag(0x0028, 0x0006)];
    NUMBER_OF_FRAMES = "NumberOfFrames" [Tag(0x0028, 0x0008)];
    ROWS = "Rows" [Tag(0x0028, 0x0010)];
    COLUMNS = "Columns" [Tag(0x0028, 0x0011)];
    PIXEL_SPACING = "PixelSpacing" [Tag(0x0028, 0x0030)];
    PIXEL_ASPECT_RATIO = "PixelAspectRatio" [Tag(0x0028, 0x0034)];
    BITS_ALLOCATED = "BitsAllocated" [Tag(0x0028, 0x0100)];
    BITS_STORED = "BitsStored" [Tag(0x0028, 0x0101)];
    HIGH_BIT = "HighBit" [Tag(0x0028, 0x0102)];
    PIXEL_REPRESENTATION = "PixelRepresentation" [Tag(0x0028, 0x0103)];
    PIXEL_PADDING_VALUE = "PixelPaddingValue" [Tag(0x0028, 0x0120)];
    PIXEL_PADDING_RANGE_LIMIT = "PixelPaddingRangeLimit" [Tag(0x0028, 0x0121)];
    PIXEL_SPACING_CALIBRATION_TYPE = "PixelSpacingCalibrationType" [Tag(0x0028, 0x0a02)];
    WINDOW_CENTER = "WindowCenter" [Tag(0x0028, 0x1050)];
    WINDOW_WIDTH = "WindowWidth" [Tag(0x0028, 0x1051)];
    RESCALE_INTERCEPT = "RescaleIntercept" [Tag(0x0028, 0x1052)];
    RESCALE_SLOPE = "RescaleSlope" [Tag(0x0028, 0x1053)];
    VOI_LUT_FUNCTION = "VOILUTFunction" [Tag(0x0028, 0x1056)];
    RED_DESCRIPTOR = "RedPaletteColorLookupTableDescriptor" [Tag(0x0028, 0x1101)];
    GREEN_DESCRIPTOR = "GreenPaletteColorLookupTableDescriptor" [Tag(0x0028, 0x1102)];
    BLUE_DESCRIPTOR = "BluePaletteColorLookupTableDescriptor" [Tag(0x0028, 0x1103)];
    RED_DATA = "RedPaletteColorLookupTableData" [Tag(0x0028, 0x1201)];
    GREEN_DATA = "GreenPaletteColorLookupTableData" [Tag(0x0028, 0x1202)];
    BLUE_DATA = "BluePaletteColorLookupTableData" [Tag(0x0028, 0x1203)];
    RED_SEGMENTS = "SegmentedRedPaletteColorLookupTableData" [Tag(0x0028, 0x1221)];
    GREEN_SEGMENTS = "SegmentedGreenPaletteColorLookupTableData" [Tag(0x0028, 0x1222)];
    BLUE_SEGMENTS = "SegmentedBluePaletteColorLookupTableData" [Tag(0x0028, 0x1223)];
    MODALITY_LUT_DESCRIPTOR = "ModalityLUTSequence: LUTDescriptor" [MODALITY_LUT_SEQUENCE, LUT_DESCRIPTOR];
    MODALITY_LUT_DATA = "ModalityLUTSequence: LUTData" [MODALITY_LUT_SEQUENCE, LUT_DATA];
    VOI_LUT_DESCRIPTOR = "VOILUTSequence: LUTDescriptor" [VOI_LUT_SEQUENCE, LUT_DESCRIPTOR];
    VOI_LUT_DATA = "VOILUTSequence: LUTData" [VOI_LUT_SEQUENCE, LUT_DATA];
    PRESENTATION_LUT_SHAPE = "PresentationLUTShape" [Tag(0x2050, 0x0020)];
    FLOAT_PIXEL_DATA = "FloatPixelData" [Tag(0x7fe0, 0x0008)];
    DOUBLE_FLOAT_PIXEL_DATA = "DoubleFloatPixelData" [Tag(0x7fe0, 0x0009)];
    PIXEL_DATA = "PixelData" [Tag(0x7fe0, 0x0010)];
}

/// The functional groups of enhanced objects, for all frames and for the first, and those groups of them that hold
/// attributes from above (PS3.3 C.7.6.16): plane position, plane orientation, pixel measures, frame VOI LUT, pixel value
/// transformation.
const FRAMES: [Tag; 2] = [Tag(0x5200, 0x9229), Tag(0x5200, 0x9230)];
const GROUPS: [Tag; 5] =
    [Tag(0x0020, 0x9113), Tag(0x0020, 0x9116), Tag(0x0028, 0x9110), Tag(0x0028, 0x9132), Tag(0x0028, 0x9145)];

/// The attribute that lies there, if it is one that is read.
pub(super) fn at(path: &[Tag]) -> Option<Attribute> {
    let path = match path {
        [frames, group, rest @ ..] if FRAMES.contains(frames) && GROUPS.contains(group) => rest,
        all => all,
    };
    ALL.iter().find(|attribute| attribute.path == path).copied()
}
